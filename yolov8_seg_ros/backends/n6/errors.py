"""What goes wrong between host and board."""

from __future__ import annotations

from yolov8_seg_ros.backends.errors import BackendError


class LinkError(BackendError):
    """A line that does not carry the protocol: it is to be opened anew."""


class BoardError(BackendError):
    """A board that answers as the protocol has it, but refuses."""
