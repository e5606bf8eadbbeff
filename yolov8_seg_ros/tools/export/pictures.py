"""Choose the pictures that an export is calibrated with, and prepare them as the node prepares a camera's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.preprocess import Preprocessor
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import ExportError
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES, read_image
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.media.sources import DEMO
from yolov8_seg_ros.tools.dataset.description import SPLITS
from yolov8_seg_ros.tools.dataset.reader import read_dataset

DEFAULT_COUNT = 100
_DEMO_HW = (480, 640)
#: The demo's calibration scenes; training begins far above, tests and figures stay below.
_DEMO_FIRST_SEED = 500_000


@dataclass(frozen=True)
class Pictures(Sequence[NDArray[np.uint8]]):
    """Pictures, bgr8 (height, width, 3), that are read each time they are asked for."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # type: ignore[override]
        return read_image(self.paths[index])


@dataclass(frozen=True)
class DemoPictures(Sequence[NDArray[np.uint8]]):
    """Pictures of the built-in scene, each of another scene."""

    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # type: ignore[override]
        if index >= self.size:
            raise IndexError(index)
        return SyntheticScene(_DEMO_HW, _DEMO_FIRST_SEED + index).frame(index).image


def find_pictures(data: str, count: int = DEFAULT_COUNT) -> Sequence[NDArray[np.uint8]]:
    """Choose up to `count` pictures, evenly spread over all there are.

    Args:
        data: a folder of pictures, a data.yaml (whose training pictures are taken), or "demo", the built-in scene.
        count: 1 or more.

    Raises:
        ExportError: if there are none.
        DataSetError: if the data.yaml describes no data set.
    """
    if data == DEMO:
        return DemoPictures(count)
    path = Path(data).expanduser()
    if path.is_dir():
        paths = _pictures_of(path)
    elif path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        paths = _pictures_of_data_set(path)
    else:
        raise ExportError(f"'{data}': no such folder or data.yaml; give the pictures to calibrate with")
    if not paths:
        raise ExportError(f"'{data}': no pictures to calibrate with; give some of those the network was trained on")
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int))
    return Pictures(tuple(paths[index] for index in chosen))


def network_inputs(pictures: Sequence[NDArray[np.uint8]], input_hw: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
    """Give float32 (1, height, width, 3), RGB, 0 to 1, of each picture."""
    preprocessor = Preprocessor(input_hw, QuantParams(np.dtype("float32")))
    for picture in pictures:
        letterbox = Letterbox.fit((picture.shape[0], picture.shape[1]), input_hw)
        tensor = preprocessor.new_tensor()
        preprocessor.write(ColorImage(picture), letterbox, tensor)
        yield tensor


def _pictures_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _pictures_of_data_set(data_yaml: Path) -> list[Path]:
    splits = read_dataset(data_yaml).splits
    filled = [[image.path for image in splits[name].images] for name in SPLITS if name in splits]
    return next((paths for paths in filled if paths), [])
