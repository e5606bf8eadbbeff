"""Convert the values of settings into the options of backends and segmenter.

Settings come as a mapping from names to values: the parameters of the node, or the arguments of a command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.npu import NpuOptions
from yolov8_seg_ros.core.network_spec import NetworkSpec
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions, TrackerOptions
from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.settings.setting import listed_names
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS
from yolov8_seg_ros.text import clean_text

_CAMERA_NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,63}")
#: Names before the dot of other parameters.
_PREFIXES = {setting.name.partition(".")[0] for setting in SEG_NODE_SETTINGS} | {"qos_overrides", "use_sim_time"}


def backend_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `open_backend`.

    A setting `raw_head` that is not None overrules `decoding`.

    Raises:
        BackendError: for delegate options that are not key=value.
    """
    raw_head = settings.get("raw_head")
    return {
        "model": settings["model"],
        "backend": settings["backend"],
        "num_threads": settings["num_threads"],
        "class_names_file": settings["class_names_file"],
        "raw_head": settings["decoding"] == "accurate" if raw_head is None else raw_head,
        "npu": npu_options(settings),
        "n6": n6_options(settings),
    }


def npu_options(settings: Mapping[str, Any]) -> NpuOptions:
    """Return how the NPU is reached.

    Raises:
        BackendError: for delegate options that are not key=value.
    """
    return NpuOptions(**_with_prefix(settings, "npu."))


def n6_options(settings: Mapping[str, Any]) -> N6Options:
    """Return where the STM32N6 board is."""
    return N6Options(**_with_prefix(settings, "n6."))


def segmenter_options(settings: Mapping[str, Any], spec: NetworkSpec) -> SegmenterOptions:
    """Return how images are segmented: as `decoding` says, with each field that has a setting of its name.

    Raises:
        OptionError: for a class that the model does not have.
    """
    options = SegmenterOptions().with_decoding(settings["decoding"])
    given = {**_given(settings, DetectionOptions), "classes": _class_indices(settings["classes"], spec)}
    return replace(options, **_given(settings, SegmenterOptions), detection=replace(options.detection, **given))


def detection_options(settings: Mapping[str, Any], spec: NetworkSpec) -> DetectionOptions:
    """Return which instances are kept.

    Raises:
        OptionError: for a class that the model does not have.
    """
    return segmenter_options(settings, spec).detection


def tracker_options(settings: Mapping[str, Any]) -> TrackerOptions | None:
    """Return how objects are followed from image to image; None where they are not."""
    given = _with_prefix(settings, "tracking.")
    options = {field.name: given[field.name] for field in fields(TrackerOptions) if field.name in given}
    return TrackerOptions(**options) if given["enabled"] else None


def camera_names(cameras: str | list[str]) -> tuple[str, ...]:
    """Return the names of cameras; one empty name where none is given.

    Raises:
        OptionError: for a name that no topic can bear, or that is there twice.
    """
    names = listed_names(cameras)
    for name in names:
        if not _CAMERA_NAME.fullmatch(name):
            raise OptionError(
                f"cameras: '{clean_text(name)}' cannot name a camera: expected letters, digits and _, first a letter; "
                "several names are separated by commas"
            )
        if name in _PREFIXES:
            raise OptionError(f"cameras: '{name}' cannot name a camera: a parameter is called so; give another name")
        if names.count(name) > 1:
            raise OptionError(f"cameras: '{name}' is there twice")
    return tuple(names) or ("",)


def _with_prefix(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}


def _given(settings: Mapping[str, Any], options: type[Any]) -> dict[str, Any]:
    names = (field.name for field in fields(options))
    return {name: settings[name] for name in names if settings.get(name) is not None}


def _class_indices(classes: str | list[str], spec: NetworkSpec) -> tuple[int, ...] | None:
    """Return the indices of classes; None for all, where no class is named."""
    names = listed_names(classes)
    try:
        return spec.class_indices(names) if names else None
    except ValueError as error:
        raise OptionError(f"classes: {error}") from error
