"""The one error of this package."""


class CvBridgeError(TypeError, RuntimeError):
    """An image cannot be converted.

    A TypeError like that of the distribution's CvBridge, and a RuntimeError like those of its C++ functions, so
    that code which catches either keeps working.
    """
