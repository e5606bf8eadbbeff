"""Define what sources of frames have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.media.rgbd_scene import RgbdFrame

BGR8 = "bgr8"


@dataclass(frozen=True)
class MediaFrame:
    """One frame of a source.

    Attributes:
        image: bgr8 (height, width, 3), or pixels in another `encoding`; belongs to the source, so copy it before
            drawing into it. A camera may write the next images there once nobody refers to it.
        name: of the image's file, or made of the source's name and the index.
        index: position in the source, from 0; a skipped image keeps its number.
        truth: the ground truth, where the source has it.
        time_s: seconds since the source's first frame, where the frames have times of their own.
        rgbd: the state of the simulated robot; None for other sources.
        encoding: of the image, as `image_of_pixels` takes it; bgr8 unless `open_media` is to keep encodings.
        captured_s: when the driver says that it captured the image, in seconds of `time.monotonic`, unchecked; None
            where no driver says so.
        missed: images of a camera that came since the frame before, and were left out for this newer one.
    """

    image: NDArray[np.uint8]
    name: str
    index: int
    truth: Instances | None = None
    time_s: float | None = None
    rgbd: RgbdFrame | None = None
    encoding: str = BGR8
    captured_s: float | None = None
    missed: int = 0


class Media(ABC):
    """A source of frames, which are read from the beginning each time it is iterated; a context manager.

    Attributes:
        frame_count: number of frames, as far as known beforehand; a video's header may be a little wrong.
        fps: frames a second, where the source has a rate of its own.
        is_live: whether the source sets the pace: asking early means waiting, asking late loses frames.
        skips_old: whether a live source leaves out what came while nobody asked, but for the newest frame.
        is_video: whether the frames are those of one video file.
        is_timed: whether frames have times of their own.
        description: how the source is read, where that is not plain from its name; or empty.
    """

    frame_count: int | None = None
    fps: float | None = None
    is_live: bool = False
    skips_old: bool = False
    is_video: bool = False
    is_timed: bool = False
    description: str = ""

    @abstractmethod
    def __iter__(self) -> Iterator[MediaFrame]:
        """Read the frames in order; raises MediaError if the source fails on the way."""

    def close(self) -> None:  # noqa: B027 - most sources have nothing to release
        """Release the device or file."""

    def __enter__(self) -> Media:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
