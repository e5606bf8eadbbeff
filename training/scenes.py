"""Render training images and their ground truth from the synthetic scene, in any number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.preprocess import Preprocessor
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.media.scene import SyntheticScene

#: The first seed of training scenes; smaller ones are for calibration, tests and published figures.
FIRST_TRAINING_SEED = 1_000_000
#: Sizes of the rendered images and their probabilities: mostly small ones, which are fast to render.
SIZES_HW = ((192, 256), (480, 640), (240, 320), (144, 256), (192, 192))
SIZE_WEIGHTS = (0.5, 0.25, 0.1, 0.075, 0.075)
#: Network pixels per cell of the ground-truth masks, which are finer than the prototypes.
MASK_STRIDE_PX = 2
MAX_FRAME = 500


class Batch(NamedTuple):
    """Images and their ground truth; the objects of all images in one list.

    Attributes:
        images: float32 (batch, 3, height, width), RGB, 0 to 1.
        image_index: int64 (objects,), index of the object's image in the batch.
        class_id: int64 (objects,).
        xyxy: float32 (objects, 4), fractions of the network's input.
        masks: float32 (objects, height / 2, width / 2), covered fraction of each cell.
    """

    images: Tensor
    image_index: Tensor
    class_id: Tensor
    xyxy: Tensor
    masks: Tensor


class Example(NamedTuple):
    """One image with its ground truth, as `Batch` describes it."""

    image: NDArray[np.float32]
    class_id: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    masks: NDArray[np.float32]


class SceneExamples(IterableDataset):
    """A reproducible series of `count` examples, each from its own scene."""

    def __init__(self, count: int, input_hw: tuple[int, int], first_seed: int = FIRST_TRAINING_SEED) -> None:
        self._count, self._input_hw, self._first_seed = count, input_hw, first_seed

    def __iter__(self) -> Iterator[Example]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        start, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(start, self._count, step):
            yield render_example(self._first_seed + number, self._input_hw)


def training_batches(num_steps: int, batch_size: int, input_hw: tuple[int, int]) -> DataLoader:
    """Return a loader of `num_steps` batches, rendered in another process."""
    examples = SceneExamples(num_steps * batch_size, input_hw)
    return DataLoader(examples, batch_size, collate_fn=collate, num_workers=1, prefetch_factor=4)


def render_example(seed: int, input_hw: tuple[int, int]) -> Example:
    """Render one image of the scene `seed` and preprocess it as the node does."""
    rng = np.random.default_rng((seed, 1))
    size_hw = SIZES_HW[rng.choice(len(SIZES_HW), p=SIZE_WEIGHTS)]
    frame = SyntheticScene(size_hw, seed).frame(int(rng.integers(MAX_FRAME)))
    masks = [frame.truth.full_mask(index) for index in range(len(frame.truth))]
    letterbox = Letterbox.fit(size_hw, input_hw)
    preprocessor = Preprocessor(input_hw, QuantParams(np.dtype("float32")))
    tensor = preprocessor.new_tensor()
    preprocessor.write(ColorImage(frame.image), letterbox, tensor)
    return Example(
        image=tensor[0].transpose(2, 0, 1),
        class_id=frame.truth.class_id,
        xyxy=letterbox.boxes_to_network(frame.truth.xyxy) / np.array(input_hw[::-1] * 2, np.float32),
        masks=_network_masks(masks, letterbox),
    )


def collate(examples: Sequence[Example]) -> Batch:
    """Join examples to a batch."""
    counts = [len(example.class_id) for example in examples]
    return Batch(
        images=torch.from_numpy(np.stack([example.image for example in examples])),
        image_index=torch.from_numpy(np.repeat(np.arange(len(examples)), counts)),
        class_id=torch.from_numpy(np.concatenate([example.class_id for example in examples])),
        xyxy=torch.from_numpy(np.concatenate([example.xyxy for example in examples])),
        masks=torch.from_numpy(np.concatenate([example.masks for example in examples])),
    )


def _network_masks(masks: Sequence[NDArray[np.bool_]], letterbox: Letterbox) -> NDArray[np.float32]:
    """Return masks (n, rows, columns) on the grid of `MASK_STRIDE_PX`: the covered fraction of each cell."""
    height, width = letterbox.network_hw
    grids = np.zeros((len(masks), height // MASK_STRIDE_PX, width // MASK_STRIDE_PX), np.float32)
    for grid, mask in zip(grids, masks, strict=True):
        network = np.zeros(letterbox.network_hw, np.float32)
        inside = letterbox.resized_hw[::-1]
        network[letterbox.interior] = cv2.resize(mask.astype(np.float32), inside, interpolation=cv2.INTER_AREA)
        grid[:] = cv2.resize(network, grid.shape[::-1], interpolation=cv2.INTER_AREA)
    return grids
