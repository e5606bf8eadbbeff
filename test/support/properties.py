"""Settings of the property tests: the same examples each time, and no limit of time for one of them."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> settings:
    """Return settings for so many examples."""
    return settings(max_examples=count, derandomize=True, database=None, deadline=None)
