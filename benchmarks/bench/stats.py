"""Medians and ranges."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from attrs import frozen


@frozen
class Spread:
    """The results of several rounds: the median and the range."""

    median: float
    least: float
    most: float
    rounds: int


def spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of values; None if there are none."""
    if not values:
        return None
    return Spread(median(values), min(values), max(values), len(values))
