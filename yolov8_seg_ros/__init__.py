"""Instance segmentation for ROS 2 robots with int8 YOLOv8-seg models.

`Segmenter`, `Instances` and `open_backend` are imported when they are first used, so that importing one module of the
package loads nothing that it does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yolov8_seg_ros.backends.open_backend import open_backend
    from yolov8_seg_ros.core.instances import Instances
    from yolov8_seg_ros.core.segmenter import Segmenter

__all__ = ["Instances", "Segmenter", "open_backend"]

_MODULES = {
    "Instances": "yolov8_seg_ros.core.instances",
    "Segmenter": "yolov8_seg_ros.core.segmenter",
    "open_backend": "yolov8_seg_ros.backends.open_backend",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return the module's names, with those that are not yet imported."""
    return sorted({*globals(), *__all__})
