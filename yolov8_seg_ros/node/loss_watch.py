"""Judge from counts whether so many images get lost in transport that a person should know."""

from __future__ import annotations

from dataclasses import dataclass

#: A single lost image is no news: so many, lost ones among them, are looked at together ...
_MIN_IMAGES = 50
#: ... and deserve a warning where at least this share of them was lost.
_MIN_LOST_SHARE = 0.1


@dataclass(frozen=True)
class Loss:
    """How many of how many images got lost."""

    lost: int
    sent: int

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent}"


class LossWatch:
    """Count lost images, and tell once while listening when they are many.

    Looks at one stretch of images after the other, so that hours without loss do not hide a loss that comes late.

    Attributes:
        lost: images lost so far.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.restart(0)

    def restart(self, received: int) -> None:
        """Begin to listen anew; the lost ones go on being counted.

        Args:
            received: images received so far.
        """
        self._has_told = False
        self._begin_stretch(received)

    def add(self, newly_lost: int, received: int) -> Loss | None:
        """Take notice of lost images; give what is to be told, once.

        Args:
            newly_lost: images lost since the last call.
            received: images received so far.
        """
        self.lost += newly_lost
        loss = self._in_stretch(received)
        if loss.sent < _MIN_IMAGES:
            return None
        self._begin_stretch(received)
        if self._has_told or loss.lost < _MIN_LOST_SHARE * loss.sent:
            return None
        self._has_told = True
        return loss

    def _begin_stretch(self, received: int) -> None:
        self._lost_before, self._received_before = self.lost, received

    def _in_stretch(self, received: int) -> Loss:
        lost = self.lost - self._lost_before
        return Loss(lost, lost + received - self._received_before)
