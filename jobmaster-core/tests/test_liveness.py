"""An owner stops before anybody else may start."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster._policy.liveness import Lease, Watch, makes_progress

LONGEST = timedelta(seconds=15)
moments = st.floats(0, 1e7)
durations = st.floats(0.05, 86400)
delays = st.floats(0, 1e4)


@given(moments, durations, delays)
def test_acting_ends_before_the_store_lets_others_in(sent_at: float, duration: float, travel: float) -> None:
    stored_until = sent_at + travel + duration

    lease = Lease(duration, sent_at)

    assert lease.safe_until < stored_until
    assert not lease.is_safe(stored_until)


@given(moments, durations, delays)
def test_a_lease_is_safe_until_its_moment(renewed_at: float, duration: float, later: float) -> None:
    lease = Lease(duration, renewed_at)

    assert lease.is_safe(renewed_at + later) == (renewed_at + later < lease.safe_until)
    assert lease.is_safe(renewed_at)
    assert not lease.is_safe(lease.safe_until)


@given(st.lists(moments, min_size=1), durations)
def test_an_answer_that_comes_late_takes_nothing_back(renewals: list[float], duration: float) -> None:
    lease = Lease(duration, 0.0)
    for sent_at in renewals:
        before = lease.safe_until
        lease = lease.renewed(sent_at)
        assert lease.safe_until >= before

    assert lease == Lease(duration, max(renewals))


def test_a_fifth_of_the_lease_is_kept_for_stopping() -> None:
    lease = Lease(15.0, 100.0)

    assert (lease.safe_until, lease.is_safe(111.9), lease.is_safe(112.0)) == (112.0, True, False)


@given(moments, delays, durations)
def test_a_loop_that_does_not_move_is_dead(last_tick: float, silence: float, lease: float) -> None:
    alive = makes_progress(last_tick, last_tick + silence, lease)

    assert alive == (last_tick + silence - last_tick < lease)
    assert makes_progress(last_tick, last_tick, lease)
    assert not makes_progress(last_tick, last_tick + lease + 1, lease)


class Moved:
    """The two clocks of a host, moved by hand: a suspended one stops the monotonic clock."""

    def __init__(self) -> None:
        self.seconds, self.time = 0.0, datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.time

    def move(self, seconds: float, *, suspended: bool = False) -> None:
        self.seconds += 0.0 if suspended else seconds
        self.time += timedelta(seconds=seconds)


@given(st.lists(st.tuples(st.sampled_from(["seen", "broken", "silent", "suspended"]), st.integers(1, 20))))
def test_a_watch_lasts_since_the_last_break(events: list[tuple[str, int]]) -> None:
    """Breaks are what fails, and any 16 seconds or more between two answers, by either clock."""
    clock = Moved()
    watch, since, seen = Watch(clock, 15.0), None, None
    for event, seconds in events:
        if event == "broken":
            watch.broken()
            since = None
        elif event == "seen":
            watch.seen()
            since = clock.time if since is None or seen is None or clock.time - seen > LONGEST else since
            seen = clock.time
        clock.move(seconds, suspended=event == "suspended")
        unbroken = since is not None and seen is not None and clock.time - seen <= LONGEST
        assert watch.lasts(0.0) == unbroken
        if not unbroken:
            assert not watch.lasts(1.0)
        elif since is not None and all(kind != "suspended" for kind, _ in events):
            assert watch.lasts((clock.time - since).total_seconds())
            assert not watch.lasts((clock.time - since).total_seconds() + 1)


@pytest.mark.parametrize(("step", "lasts"), [(-16, False), (-15, True), (15, True), (16, False)])
def test_a_step_of_the_hosts_clock_is_a_break_in_either_direction(step: int, lasts: bool) -> None:
    """Leases of SQLite's are by that clock: they are in doubt until all have renewed theirs."""
    clock = Moved()
    watch = Watch(clock, 15.0)
    watch.seen()
    clock.move(10)
    watch.seen()
    clock.time += timedelta(seconds=step)
    watch.seen()

    assert watch.lasts(10.0) == lasts
