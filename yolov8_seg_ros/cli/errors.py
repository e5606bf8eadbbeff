"""What goes wrong in a verb for a reason that the user can mend."""

from __future__ import annotations


class CommandError(RuntimeError):
    """A command that cannot be carried out; the message, told in one line, says why and what to do."""
