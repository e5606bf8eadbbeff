"""Convert the settings of the depth node into the options of how objects are placed in space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from yolov8_seg_ros.core.camera_geometry import RigidTransform
from yolov8_seg_ros.core.object_placing import PlacingOptions
from yolov8_seg_ros.core.options import DepthOptions
from yolov8_seg_ros.errors import CalibrationError, OptionError
from yolov8_seg_ros.media.depth_message import is_rectified_topic


def placing_options(settings: Mapping[str, Any]) -> PlacingOptions:
    """Return how objects are placed in space.

    Args:
        settings: those of the depth node.

    Raises:
        OptionError: for settings that do not go together.
        CalibrationError: for extrinsics that are no transform.
    """
    if settings["boxes"] == "yaw" and not settings["target_frame"]:
        raise OptionError("boxes: yaw needs a target_frame whose z axis points up, such as base_link or map")
    if settings["min_depth_m"] >= settings["max_depth_m"]:
        raise OptionError(
            f"min_depth_m {settings['min_depth_m']} must be less than max_depth_m {settings['max_depth_m']}"
        )
    extrinsics = settings["depth_extrinsics"]
    return PlacingOptions(
        depth=DepthOptions(**{field.name: settings[field.name] for field in fields(DepthOptions)}),
        turned=settings["boxes"] == "yaw",
        tracking=settings["tracking.enabled"],
        velocity_window_s=settings["velocity_window_s"],
        smoothing_s=settings["smoothing_s"],
        assume_registered=settings["assume_registered"],
        extrinsics=_transform(extrinsics) if extrinsics else None,
    )


def is_rectified(settings: Mapping[str, Any], camera: str, image_topic: str) -> bool:
    """Return whether the images of a camera are rectified.

    Args:
        settings: those of the depth node.
        camera: color or depth.
        image_topic: of its images.
    """
    choice = settings["rectified"]
    return is_rectified_topic(image_topic) if choice == "auto" else choice in (camera, "both")


def _transform(text: str) -> RigidTransform:
    """Return the transform of 'x y z qx qy qz qw'."""
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 7:
        raise CalibrationError(f"depth_extrinsics: expected 'x y z qx qy qz qw', got '{text}'")
    return RigidTransform.from_quaternion(numbers[3:], numbers[:3])
