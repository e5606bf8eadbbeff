"""What goes wrong with an export."""

from __future__ import annotations


class ExportError(RuntimeError):
    """A network that cannot be exported; the message, told in one line, says why and what to do."""
