"""What goes wrong with a backend."""

from __future__ import annotations


class BackendError(RuntimeError):
    """A backend that cannot start or run; the message says why and what to do."""


class RunInterruptedError(BackendError):
    """A run that was given up because the backend was told to pause; nothing is wrong."""
