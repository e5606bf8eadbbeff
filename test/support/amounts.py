"""Read how much is to be attacked: a little in each test run, and a lot by `make soak`."""

from __future__ import annotations

import os

#: 1 for the whole of the long form, less for a part of it; the short form where it is not set.
SHARE_VARIABLE = "YOLOV8_SEG_SOAK"


def amount(short: int, long: int) -> int:
    """Return the number of attacks, or of seconds."""
    share = os.environ.get(SHARE_VARIABLE)
    return max(short, round(long * float(share))) if share else short


def is_long() -> bool:
    """Return whether this is the long form."""
    return SHARE_VARIABLE in os.environ
