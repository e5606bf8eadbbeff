"""Define the errors that a user can put right: one kind, each of one line.

The message says what was given, what was expected and what to do. Programs print it without a traceback.
"""

from __future__ import annotations

from yolov8_seg_ros.text import clean_text


class UserError(Exception):
    """A mistake of the user, or something missing on the machine.

    Attributes:
        may_come: whether what is missing may be there in a moment.
    """

    may_come = False


class OptionError(UserError, ValueError):
    """An option, parameter or argument of a wrong type or out of its range."""


class ModelError(UserError, ValueError):
    """A model file that this package cannot serve."""


class NativeLibraryError(UserError):
    """A C library that is missing or cannot be loaded."""


class NoDecodedHeadError(UserError):
    """A model file without a decoded head that could be cut off; it can be run as it is."""


class DecodeError(UserError, ValueError):
    """Data that cannot be decoded as an image."""


class ImageError(UserError, ValueError):
    """A message that holds no usable image."""


class CalibrationError(UserError, ValueError):
    """A camera's calibration, or where it is, that cannot be used."""


class MissingCalibrationError(CalibrationError):
    """A camera's calibration that has not come yet."""

    may_come = True


class FrameError(UserError):
    """A transform that is not known at the time of an image.

    Args:
        message: of the error.
        may_come: whether it may be known in a moment.
    """

    def __init__(self, message: str, may_come: bool = True) -> None:
        super().__init__(message)
        self.may_come = may_come


class DepthError(UserError, ValueError):
    """A depth image that cannot be used."""


class MediaError(UserError):
    """An image, folder, video, recording or camera that cannot be read."""


class DownloadError(UserError):
    """A download that did not succeed."""


class DataSetError(UserError):
    """A data set that cannot be read."""


class EvaluationError(UserError):
    """A model that cannot be measured on a data set."""


class ExportError(UserError):
    """A network that cannot be exported."""


class CommandError(UserError):
    """A command that cannot be carried out."""


class BackendError(UserError):
    """A backend that cannot start or run."""


class RunInterruptedError(BackendError):
    """A run that ended early because the backend was paused; nothing is wrong."""


class NoDelegatedOpsError(BackendError):
    """A delegate that works, but supports none of the model's operations."""


class LinkError(BackendError):
    """A serial line that does not carry the protocol: it has to be opened anew."""


class LostFrameError(BackendError):
    """A frame that was lost or damaged on the line; the board is there, and the next frame may be sent."""


class BoardError(BackendError):
    """A board that answers in the protocol, but refuses."""


def one_line(error: BaseException | str) -> str:
    """Return an error's text as one line that can be printed; the name of its type where it has no text."""
    return clean_text(" ".join(str(error).split())) or type(error).__name__
