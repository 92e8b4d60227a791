"""Targets of buckets: within bounds, and at the pace of their owners."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster._policy.refill import LONG, SHORT, Refills

FIRST, LEAST, MOST = 100, 20, 800
BUCKET, OTHER = UUID(int=1), UUID(int=2)


class Backlog:
    """A backlog without an end, and one bucket that its owner works off."""

    def __init__(self, refills: Refills) -> None:
        self.refills, self.now, self.holds = refills, 0.0, 0

    def refill(self) -> int:
        room = self.refills.rooms([BUCKET], {BUCKET: self.holds}, self.now).get(BUCKET, 0)
        self.holds += room
        if room:
            self.refills.given({BUCKET: room}, self.now)
        return room

    @property
    def target(self) -> int:
        return self.refills._levels[BUCKET].target

    def work(self, jobs: int, seconds: float) -> None:
        self.holds -= min(jobs, self.holds)
        self.now += seconds


@pytest.fixture
def refills() -> Refills:
    return Refills(FIRST, LEAST, MOST)


steps = st.lists(st.tuples(st.integers(0, 1000), st.floats(0.0, 100.0)), max_size=40)


@given(steps)
def test_no_bucket_holds_more_than_the_most(work: list[tuple[int, float]]) -> None:
    backlog = Backlog(Refills(FIRST, LEAST, MOST))
    for jobs, seconds in work:
        assert 0 <= backlog.refill() <= MOST
        assert backlog.holds <= MOST
        backlog.work(jobs, seconds)


@given(steps)
def test_an_empty_bucket_is_always_given_something(work: list[tuple[int, float]]) -> None:
    backlog = Backlog(Refills(FIRST, LEAST, MOST))
    for jobs, seconds in work:
        backlog.refill()
        backlog.work(jobs, seconds)
    backlog.holds = 0

    assert backlog.refill() >= LEAST


@given(st.floats(0.5, 5000.0), st.floats(0.02, 0.5))
def test_targets_follow_the_pace_of_owners(pace: float, pause: float) -> None:
    """An owner that does `pace` jobs a second, looked at every `pause` seconds."""
    backlog = Backlog(Refills(FIRST, LEAST, MOST))
    done = 0.0
    while backlog.now < 300:
        backlog.refill()
        done += pace * pause
        backlog.work(int(done), pause)
        done -= int(done)

    target = backlog.target
    assert LEAST <= target <= max(LEAST, 4 * (LONG + pause) * pace + 4)
    assert min(MOST, (SHORT - pause) * 4 * pace - 4) <= target <= MOST


def test_a_first_refill_is_neither_small_nor_large(refills: Refills) -> None:
    assert refills.rooms([BUCKET, OTHER], {OTHER: 10}, 0.0) == {BUCKET: FIRST, OTHER: FIRST - 10}


def test_a_bucket_that_is_nearly_full_has_enough(refills: Refills) -> None:
    holdings = {BUCKET: FIRST * 3 // 4 + 1, OTHER: FIRST * 3 // 4}

    assert refills.rooms([BUCKET, OTHER], holdings, 0.0) == {OTHER: FIRST // 4}


def test_a_trickle_says_nothing_of_the_pace(refills: Refills) -> None:
    for second in range(100):
        room = refills.rooms([BUCKET], {}, second / 100)
        assert room == {BUCKET: FIRST}
        refills.given({BUCKET: 3}, second / 100)


def test_what_is_forgotten_starts_anew(refills: Refills) -> None:
    backlog = Backlog(refills)
    for _ in range(5):
        backlog.refill()
        backlog.work(MOST, 0.01)
    refills.start_anew()

    assert backlog.refill() == FIRST


def test_targets_go_by_what_owners_read_at_a_time() -> None:
    made = [Refills.for_pages(page) for page in (1, 1000)]

    assert [(one.least, one.first, one.most) for one in made] == [(1, 2, 16), (200, 2000, 16000)]
