"""Find the compiled library, `native/postprocess.h`, and mirror its structures."""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_double, c_float, c_int32, c_int64, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

#: What setup.py builds.
LIBRARY = Path(__file__).parents[1] / "native" / "libpostprocess.so"


class NotBuiltError(Exception):
    """There is no compiled library that can be used; the message says why and what to do."""


class QuantStruct(Structure):
    """Mirror `struct seg_quant`."""

    _fields_: ClassVar = [("scale", c_float), ("zero_point", c_int32), ("sign_flip", c_int32)]


class PartStruct(Structure):
    """Mirror `struct seg_part`."""

    _fields_: ClassVar = [
        ("stored", c_void_p),
        ("channel_step", c_int64),
        ("anchor_step", c_int64),
        ("quant", QuantStruct),
    ]


class OutputsStruct(Structure):
    """Mirror `struct seg_outputs`."""

    _fields_: ClassVar = [
        *((name, PartStruct) for name in ("boxes", "scores", "coefficients", "prototypes")),
        *((name, c_int32) for name in ("num_classes", "num_anchors", "num_coefficients")),
        *((name, c_int32) for name in ("plane_rows", "plane_columns", "network_width_px", "network_height_px")),
    ]


class OptionsStruct(Structure):
    """Mirror `struct seg_options`."""

    _fields_: ClassVar = [
        ("iou_threshold", c_double),
        ("lowest_score", c_double),
        ("is_class_wanted", c_void_p),
        ("lowest_value", c_int32),
        ("max_instances", c_int32),
        *((name, c_int32) for name in ("is_agnostic", "is_multi_label", "votes", "rescores", "refines")),
    ]


class LetterboxStruct(Structure):
    """Mirror `struct seg_letterbox`."""

    _fields_: ClassVar = [
        *((name, c_double) for name in ("scale_x", "scale_y", "pad_x_px", "pad_y_px")),
        *((name, c_int32) for name in ("image_width_px", "image_height_px", "halo_cells")),
    ]


class BoxStruct(Structure):
    """Mirror `struct seg_box`."""

    _fields_: ClassVar = [
        *((name, c_float) for name in ("left", "top", "right", "bottom", "score")),
        *((name, c_int32) for name in ("class_id", "anchor", "is_suppressed")),
    ]


class CellsStruct(Structure):
    """Mirror `struct seg_cells`."""

    _fields_: ClassVar = [("first", c_int64), *((name, c_int32) for name in ("left", "top", "columns", "rows"))]


class InstanceStruct(Structure):
    """Mirror `struct seg_instance`."""

    _fields_: ClassVar = [
        ("xyxy", c_float * 4),
        ("score", c_float),
        ("class_id", c_int32),
        *((name, c_int32) for name in ("mask_left_px", "mask_top_px", "mask_width_px", "mask_height_px")),
        ("cells", CellsStruct),
    ]


class StampStruct(Structure):
    """Mirror `struct seg_stamp`."""

    _fields_: ClassVar = [
        ("bitmap", c_void_p),
        ("row_step", c_int64),
        *((name, c_int32) for name in ("left_px", "top_px", "width_px", "height_px", "value")),
    ]


class MemoryStruct(Structure):
    """Mirror `struct seg_memory`."""

    #: An array each, by name: its elements' type.
    arrays: ClassVar[dict[str, Any]] = {
        "codes": np.uint64,
        "candidates": BoxStruct,
        "kept": BoxStruct,
        "found": InstanceStruct,
        "is_anchor_taken": np.uint8,
        "coefficients": np.int16,
        "cells": np.float32,
        "upper": np.float32,
        "lower": np.float32,
        "fraction": np.float32,
        "place": np.int32,
    }
    _fields_: ClassVar = [
        *((name, c_void_p) for name in arrays),
        *((name, c_int64) for name in ("candidates_max", "cells_max", "candidates_needed", "cells_needed")),
    ]


_MIRRORED = (OutputsStruct, OptionsStruct, LetterboxStruct, BoxStruct, InstanceStruct, MemoryStruct, StampStruct)


def open_library(path: Path = LIBRARY) -> ctypes.CDLL:
    """Load the compiled library.

    Raises:
        NotBuiltError: if it is not there, cannot be loaded, or was built from other sources.
    """
    if not path.exists():
        raise NotBuiltError("it was not built: install a C compiler and this package anew")
    try:
        library = ctypes.CDLL(str(path))
        library.seg_layout.restype = c_int64
        layout = library.seg_layout()
    except (OSError, AttributeError) as error:
        raise NotBuiltError(f"{path.name} cannot be loaded: {error}; install this package anew") from error
    if layout != sum(map(ctypes.sizeof, _MIRRORED)):
        raise NotBuiltError(f"{path.name} was built from other sources; install this package anew")
    return library


@lru_cache(maxsize=1)
def installed_library() -> ctypes.CDLL | None:
    """Give the library that was built with this package; None where there is none that can be used."""
    try:
        return open_library()
    except NotBuiltError:
        return None
