"""Sharing jobs out among buckets."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from jobmaster.contracts import Room
from jobmaster.states import Priority
from jobmaster_sql.placement import Group, groups_of, homes_of, share_out
from jobmaster_testing.factories import make_bucket

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


def room(bucket_id: UUID, free: int, lane: str = "default", priority: Priority = Priority.LOW) -> Room:
    return Room(bucket_id=bucket_id, lane=lane, priority=priority, free=free)


def test_rooms_are_grouped_by_lane_and_priority() -> None:
    rooms = [room(A, 2), room(B, 3), room(C, 1, lane="other"), room(C, 4, priority=Priority.HIGH)]

    groups = {(group.lane, group.priority): group.rooms for group in groups_of(rooms)}

    assert groups == {
        ("default", Priority.LOW): {A: 2, B: 3},
        ("other", Priority.LOW): {C: 1},
        ("default", Priority.HIGH): {C: 4},
    }


def test_full_buckets_are_left_out() -> None:
    assert groups_of([room(A, 0), room(B, -1)]) == []


def test_jobs_go_to_the_buckets_by_turns() -> None:
    assert list(share_out(Group("default", Priority.LOW, {A: 3, B: 1, C: 2}))) == [A, B, C, A, C, A]


@given(st.dictionaries(st.uuids(), st.integers(1, 20), max_size=5))
def test_each_bucket_gets_what_it_has_room_for(rooms: dict[UUID, int]) -> None:
    group = Group("default", Priority.LOW, rooms)

    assert Counter(share_out(group)) == Counter(rooms)
    assert group.free == sum(rooms.values())


def test_each_place_has_one_home() -> None:
    first, second = make_bucket(), make_bucket()
    high = make_bucket(priority=Priority.HIGH)

    homes = homes_of([first, second, high])

    assert [(group.priority, group.only) for _, group in homes] == [
        (Priority.MEDIUM, second.id),
        (Priority.HIGH, high.id),
    ]
