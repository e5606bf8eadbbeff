"""Recognise recordings of ROS by their files, without what reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES

#: Suffixes of recordings of ROS 2, and of ROS 1.
BAG_SUFFIXES = (".mcap", ".db3", ".bag")
METADATA_NAME = "metadata.yaml"
#: How the files in a recording of ROS 2 end.
_STORAGE_ENDINGS = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")


def is_bag(path: Path) -> bool:
    """Return whether a file or folder that exists is a recording of ROS."""
    if not path.is_dir():
        return path.suffix.lower() in BAG_SUFFIXES
    has_images = any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir())
    return not has_images and next(storage_files(path), None) is not None


def storage_files(folder: Path) -> Iterator[Path]:
    """Return the files of a recording in a folder, in no order."""
    return (file for file in folder.iterdir() if file.name.lower().endswith(_STORAGE_ENDINGS))
