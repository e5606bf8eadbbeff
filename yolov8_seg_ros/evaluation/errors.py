"""Define what can be wrong with what is to be evaluated."""

from __future__ import annotations


class EvaluationError(ValueError):
    """Tell in one line why a model cannot be measured on a data set, and what to do."""
