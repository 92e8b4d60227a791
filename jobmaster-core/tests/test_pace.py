"""The pace of an owner: what ends while jobs wait in line, and what fits into a second while slots are free."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster._policy.pace import ENOUGH, LONGEST_GAP, MEMORY, Pace

SLOTS = 4
MORE = 2 / MEMORY
"""Runs a second by which a pace may be too high: it is one more than was seen, and one may have ended just now."""

gaps = st.floats(0.05, 0.5)


def lasting(pace: Pace, *seconds: float) -> None:
    for one in seconds:
        pace.ran(one)


# While slots are free


def test_nothing_tells_before_something_has_run() -> None:
    pace = Pace(SLOTS)
    assert pace.look(0.0, [], line=False) is None
    assert pace.look(1.0, [0.5], line=False) is None


@given(st.integers(1, 20), st.lists(st.floats(0.001, 100), min_size=1, max_size=50))
def test_with_free_slots_it_is_what_fits_into_a_second(slots: int, lengths: list[float]) -> None:
    pace = Pace(slots)
    lasting(pace, *lengths)
    mean = sum(lengths) / len(lengths)
    assert pace.look(0.0, [], line=False) == pytest.approx(slots / mean)


def test_runs_that_take_no_time_have_a_pace() -> None:
    pace = Pace(SLOTS)
    lasting(pace, 0.0, 0.0)
    assert (pace.look(0.0, [], line=False) or 0) > 1000


def test_each_look_begins_a_new_count() -> None:
    pace = Pace(SLOTS)
    lasting(pace, 0.5)
    assert pace.look(0.0, [], line=False) == 8
    assert pace.look(1.0, [], line=False) is None
    lasting(pace, 2.0)
    assert pace.look(2.0, [], line=False) == 2


# While jobs wait in line


@given(st.floats(0.01, 500), st.lists(gaps, min_size=100, max_size=100))
def test_with_a_line_it_is_how_many_end(rate: float, looks: list[float]) -> None:
    """Whenever it is looked, and however unevenly; once it has been looked for some seconds."""
    pace, now, ended = Pace(SLOTS), 0.0, 0
    found: list[float | None] = []
    for gap in looks:
        now += gap
        lasting(pace, *[SLOTS / rate] * (int(rate * now) - ended))
        ended = int(rate * now)
        found.append(pace.look(now, [0.1] * SLOTS, line=True))
        if now > 5 * MEMORY:
            assert found[-1] is not None
            assert rate - 0.05 * rate - 0.05 <= found[-1] <= 1.05 * rate + 0.05 + MORE


@given(st.integers(1, 20), st.lists(gaps, min_size=2, max_size=30))
def test_the_longer_none_ends_the_less_is_expected(slots: int, looks: list[float]) -> None:
    pace, now = Pace(slots), ENOUGH + 0.01
    found = [pace.look(now, [now] * slots, line=True)]
    for gap in looks:
        now += gap
        found.append(pace.look(now, [now] * slots, line=True))

    told = [one for one in found if one is not None]
    assert len(told) == len(found)
    assert told[0] == pytest.approx(1 / (ENOUGH + 0.01))
    assert all(later <= sooner for sooner, later in pairwise(told))
    assert min(told) >= min(1 / MEMORY, 1 / max(1.0, sum(looks))) - 1e-9


def test_of_what_has_only_just_begun_nobody_can_tell() -> None:
    pace = Pace(SLOTS)
    assert pace.look(0.0, [ENOUGH / 2] * SLOTS, line=True) is None
    assert pace.look(ENOUGH, [ENOUGH] * SLOTS, line=True) is not None


def test_a_line_behind_what_runs_for_long_is_told_of_at_once() -> None:
    """Five jobs of a minute each, and quick ones behind them: these are for somebody else."""
    pace = Pace(SLOTS)
    pace.look(0.0, [], line=False)
    found = pace.look(4.0, [60.0] * SLOTS, line=True)
    assert found is not None
    assert found < 1


def test_one_long_run_among_short_ones_hides_nothing() -> None:
    pace, found = Pace(SLOTS), None
    for number in range(20):
        lasting(pace, *[0.1] * 7)
        found = pace.look(number * 0.25, [number * 0.25], line=True)
    assert found == pytest.approx(28, abs=1 + MORE)


def test_what_was_counted_long_ago_says_nothing() -> None:
    pace, busy = Pace(SLOTS), None
    for number in range(20):
        lasting(pace, *[0.01] * 50)
        busy = pace.look(number * 0.25, [0.01] * SLOTS, line=True)
    assert busy is not None
    assert busy > 150
    now = 19 * 0.25 + LONGEST_GAP
    found = pace.look(now + 0.01, [LONGEST_GAP] * SLOTS, line=True)
    assert found is not None
    assert found <= 1 / MEMORY


@pytest.mark.parametrize("idle", [0.3, 1.0, 4.9])
def test_the_time_for_which_slots_had_nothing_to_do_does_not_count(idle: float) -> None:
    """A backlog comes up after a pause, and some of it has been run by the time that somebody looks."""
    pace = Pace(SLOTS)
    pace.look(0.0, [], line=False)
    lasting(pace, *[0.01] * 8)
    found = pace.look(idle, [0.005] * SLOTS, line=True)
    assert found is None or found > 100

    lasting(pace, *[0.01] * 100)
    found = pace.look(idle + 0.25, [0.005] * SLOTS, line=True)
    assert found == pytest.approx(400, rel=0.2)
