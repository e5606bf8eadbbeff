"""Find the reference data beside the checkout, in `../shared`, or where `YOLOV8_SEG_SHARED` says.

They are never part of the package.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED_FILES = {
    "256": "models/yolov8n_256_quant_pc_ii_seg_coco-st.tflite",
    "320": "models/yolov8n_320_quant_pc_ii_seg_coco-st.tflite",
    "fish": "models/fish_256_int8.tflite",
}


def shared_folder() -> Path:
    """Return the folder of reference data, whether or not it is there."""
    return Path(os.environ.get("YOLOV8_SEG_SHARED") or CHECKOUT.parent / "shared")


def shared_path(relative: str) -> Path:
    """Return a file or folder of the reference data, or skip the test that asks for it."""
    path = shared_folder() / relative
    if not path.exists():
        pytest.skip(f"reference data absent: {path} (name the folder in YOLOV8_SEG_SHARED)")
    return path
