"""Convert between image messages and OpenCV arrays: the Python interface of the distribution's cv_bridge."""

from .core import CvBridge
from .display import cvtColorForDisplay
from .encodings import getCvType
from .errors import CvBridgeError

__all__ = ["CvBridge", "CvBridgeError", "cvtColorForDisplay", "getCvType"]
