"""Log why images have no result, but not the same reason again and again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from rclpy.impl.rcutils_logger import RcutilsLogger

#: The same complaint is logged once in this time.
PERIOD_S = 5.0
#: Complaints that are remembered.
MAX_REMEMBERED = 32


class Complaints:
    """Warnings, of which each kind is logged once in a while.

    Args:
        logger: of the node.
        now_s: returns the time of a steady clock.
    """

    def __init__(self, logger: RcutilsLogger, now_s: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._now_s = logger, now_s
        self._logged_s: OrderedDict[str, float] = OrderedDict()

    def add(self, kind: str, text: str) -> None:
        """Log a text, unless one of its kind was logged a moment ago."""
        now_s = self._now_s()
        if now_s - self._logged_s.get(kind, float("-inf")) < PERIOD_S:
            return
        self._logger.warning(text)
        self._logged_s[kind] = now_s
        self._logged_s.move_to_end(kind)
        if len(self._logged_s) > MAX_REMEMBERED:
            self._logged_s.popitem(last=False)
