"""An owner stops before anybody else may start."""

from hypothesis import given
from hypothesis import strategies as st

from jobmaster._policy.liveness import Lease, makes_progress

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
