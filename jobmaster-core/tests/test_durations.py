"""Durations as people write them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster._time.durations import LONGEST, written

SIZES = {"day": 86400, "days": 86400, "h": 3600, "min": 60, "s": 1, "year": 31557600, "years": 31557600}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2592000.0, "30 days"),
        (86400, "1 day"),
        (5400, "1 h 30 min"),
        (60, "1 min"),
        (90.5, "1 min 30.5 s"),
        (0.001, "0.001 s"),
        (0, "0 s"),
        (-86400, "-1 day"),
        (LONGEST, "100 years"),
        (math.inf, "inf s"),
    ],
)
def test_the_largest_units_come_first(seconds: float, text: str) -> None:
    assert written(seconds) == text


@given(st.integers(0, int(LONGEST) * 1_000_000))
def test_nothing_is_lost(microseconds: int) -> None:
    parts = re.findall(r"([\d.]+) (\w+)", written(microseconds / 1_000_000))

    total = sum(round(float(number) * SIZES[unit] * 1_000_000) for number, unit in parts)
    assert total == pytest.approx(microseconds, abs=1 + microseconds * 1e-15)
