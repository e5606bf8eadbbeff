"""Choose the images that an export is calibrated with, and preprocess them as the node does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.choices import DEMO
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.preprocess import Preprocessor
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import ExportError
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES, read_image
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.tools.dataset.description import SPLITS
from yolov8_seg_ros.tools.dataset.reader import read_dataset

DEFAULT_COUNT = 100
_DEMO_HW = (480, 640)
#: Calibration scenes of the demo. Training starts far above; tests and published figures use seeds below.
_DEMO_FIRST_SEED = 500_000


@dataclass(frozen=True)
class Images(Sequence[NDArray[np.uint8]]):
    """Images, bgr8 (height, width, 3), read at each access.

    Attributes:
        keys: one per image, such as its path.
        read: returns the image of a key.
    """

    keys: Sequence[Any]
    read: Callable[[Any], NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # type: ignore[override]
        return self.read(self.keys[index])


def find_images(data: str, count: int = DEFAULT_COUNT) -> Images:
    """Choose up to `count` images, evenly spread over all that are found.

    Args:
        data: a folder of images, a data.yaml (whose training images are used), or "demo", the built-in scene.
        count: 1 or more.

    Raises:
        ExportError: if there are none.
        DataSetError: if the data.yaml does not describe a data set.
    """
    if data == DEMO:
        return Images(range(_DEMO_FIRST_SEED, _DEMO_FIRST_SEED + count), _demo_image)
    path = Path(data).expanduser()
    if path.is_dir():
        paths = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    elif path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        paths = _images_of_dataset(path)
    else:
        raise ExportError(f"'{data}': no such folder or data.yaml; give the images to calibrate with")
    if not paths:
        raise ExportError(f"'{data}': no images to calibrate with; give some of the training images")
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int))
    return Images([paths[index] for index in chosen], read_image)


def network_inputs(images: Iterable[NDArray[np.uint8]], input_hw: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
    """Yield the network input of each image, float32 (1, height, width, 3), RGB, 0 to 1."""
    preprocessor = Preprocessor(input_hw, QuantParams(np.dtype("float32")))
    for image in images:
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), input_hw)
        tensor = preprocessor.new_tensor()
        preprocessor.write(ColorImage(image), letterbox, tensor)
        yield tensor


def _demo_image(seed: int) -> NDArray[np.uint8]:
    return SyntheticScene(_DEMO_HW, seed).frame(seed - _DEMO_FIRST_SEED).image


def _images_of_dataset(data_yaml: Path) -> list[Path]:
    """Return the images of the first split that has any."""
    splits = read_dataset(data_yaml).splits
    filled = [[image.path for image in splits[name].images] for name in SPLITS if name in splits]
    return next((paths for paths in filled if paths), [])
