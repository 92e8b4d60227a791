"""Who is short of work, what the buckets of one place may hold, and whose owner is silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster._policy.sharing import Silence, hungry, limits
from jobmaster.states import Priority
from jobmaster_testing.factories import make_bucket

LONGEST = 6.25


# Hungry


def test_places_are_hungry_where_some_slot_is_free() -> None:
    buckets = [
        make_bucket(free=0),
        make_bucket(free=1),
        make_bucket(free=3, lane="slow", priority=Priority.HIGH),
        make_bucket(free=0, lane="slow"),
    ]
    assert hungry(buckets) == {("default", Priority.MEDIUM), ("slow", Priority.HIGH)}
    assert hungry([]) == frozenset()


# Limits


def limits_of(*offers: int | None) -> list[int | None]:
    buckets = [make_bucket(offered=offered) for offered in offers]
    found = limits(buckets)
    assert set(found) <= {bucket.id for bucket in buckets}
    return [found.get(bucket.id) for bucket in buckets]


@pytest.mark.parametrize(
    ("offers", "expected"),
    [
        ([], []),
        ([None, None], [None, None]),  # all are idle, or quick
        ([7], [None]),  # there is nobody else
        ([7, 5], [7, 5]),
        ([7, 4, None], [7, 4, 5]),  # like the others
        ([0, 0, None], [1, 1, 1]),  # who is never given anything never shows what it can
    ],
)
def test_limits(offers: list[int | None], expected: list[int | None]) -> None:
    assert limits_of(*offers) == expected


@given(st.lists(st.none() | st.integers(0, 100_000), min_size=2, max_size=20))
def test_limits_are_what_is_offered_and_between_the_offers_where_nothing_is(offers: list[int | None]) -> None:
    known = [offered for offered in offers if offered is not None]
    found = limits_of(*offers)
    if not known:
        assert set(found) == {None}
        return
    for offered, limit in zip(offers, found, strict=True):
        assert limit is not None
        assert limit >= 1
        if offered is None:
            assert max(1, min(known)) <= limit <= max(1, *known)
        else:
            assert limit == max(1, offered)


# Silence


SILENCE = Silence(LONGEST)


def test_who_missed_a_heartbeat_is_silent() -> None:
    assert not SILENCE.is_silent(make_bucket(unheard=LONGEST))
    assert SILENCE.is_silent(make_bucket(unheard=LONGEST + 0.1))


def test_who_was_found_to_read_nothing_is_silent() -> None:
    assert SILENCE.is_silent(make_bucket(unheard=0.5, silent=True))


def test_silent_owners_get_nothing_while_others_serve_the_same_work() -> None:
    silent, other = make_bucket(silent=True), make_bucket()
    elsewhere = make_bucket(agent="Agent-2")
    assert SILENCE.heard([silent, other]) == [other]
    assert SILENCE.heard([elsewhere, silent]) == [elsewhere]


def test_silent_owners_are_better_than_none() -> None:
    silent, other = make_bucket(silent=True), make_bucket(lane="slow")
    assert {b.id for b in SILENCE.heard([silent, other])} == {silent.id, other.id}


@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), st.booleans()), max_size=12))
def test_no_place_is_left_without_a_bucket_by_silence(found: list[tuple[str, bool]]) -> None:
    buckets = [make_bucket(lane=lane, silent=silent) for lane, silent in found]
    heard = SILENCE.heard(buckets)
    assert {b.lane for b in heard} == {b.lane for b in buckets}
    for bucket in heard:
        others = [b for b in buckets if b.lane == bucket.lane and not b.silent]
        assert not bucket.silent or not others
