"""Write small data sets that are free of faults, for tests to damage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.tools.dataset.check import check_dataset, inspect_images
from yolov8_seg_ros.tools.dataset.finding import Finding
from yolov8_seg_ros.tools.dataset.reader import read_dataset

DESCRIPTION = "train: train/images\nval: valid/images\nnc: 2\nnames: [cat, mouse]\n"
TRIANGLE = "0 0.1 0.1 0.5 0.1 0.5 0.5\n"
SQUARE = "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n"
WIDTH_PX, HEIGHT_PX = 64, 48


def write_dataset(root: Path, num_train: int = 4, num_valid: int = 2) -> Path:
    """Write train/{images,labels}/a0 ..., valid/{images,labels}/b0 ... and data.yaml; give the last."""
    for folder, letter, count in (("train", "a", num_train), ("valid", "b", num_valid)):
        for number in range(count):
            write_pair(root / folder, f"{letter}{number}")
    path = root / "data.yaml"
    path.write_text(DESCRIPTION)
    return path


def write_pair(folder: Path, stem: str, labels: str = TRIANGLE + SQUARE) -> None:
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    write_noise(folder / "images" / f"{stem}.png")
    (folder / "labels" / f"{stem}.txt").write_text(labels)


def write_noise(path: Path, size_wh: tuple[int, int] = (WIDTH_PX, HEIGHT_PX)) -> None:
    """Write an image unlike that of any other name."""
    path.write_bytes(encoded(noise(path.name, size_wh), path.suffix.lower()))


def noise(name: str, size_wh: tuple[int, int] = (WIDTH_PX, HEIGHT_PX)) -> NDArray[np.uint8]:
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)


def encoded(bgr: NDArray[np.uint8], suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, bgr)
    assert done
    return data.tobytes()


def jpeg_turned_right(bgr: NDArray[np.uint8]) -> bytes:
    """Return a JPEG whose EXIF data demand a turn by 90 degrees."""
    orientation = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    payload = b"Exif\0\0" + orientation
    data = encoded(bgr, ".jpg")
    return data[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload + data[2:]


def check(path: Path) -> list[Finding]:
    dataset = read_dataset(path)
    return check_dataset(dataset, inspect_images(image.path for image in dataset.all_images()))


def content_of(root: Path) -> dict[str, bytes]:
    """Return all files below a folder, to be compared with what they are later."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
