"""Ids are UUIDs of version 7 that only ever grow."""

import copy
import multiprocessing
import os
import pickle
import threading
import time
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import ids
from jobmaster.ids import new_id, new_ids, reproducible_ids


def millis_of(made: UUID) -> int:
    return made.int >> 80


def made_at(readings: list[int]) -> list[UUID]:
    """Return ids made while the clock showed these milliseconds, one after the other."""
    left = iter(readings)
    with reproducible_ids(0, lambda: next(left) * 1_000_000):
        return [new_id() for _ in readings]


def test_version_variant_and_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= millis_of(made) <= after + 1


def test_ids_grow() -> None:
    made = [new_id() for _ in range(20_000)]

    assert made == sorted(set(made))


@given(st.lists(st.tuples(st.integers(1, 2**48 - 2), st.integers(0, 5)), min_size=1))
def test_ids_made_together_grow_as_others_do(readings: list[tuple[int, int]]) -> None:
    left = iter(millis for millis, _ in readings)
    with reproducible_ids(0, lambda: next(left) * 1_000_000):
        made = [one for _, count in readings for one in new_ids(count)]

    assert len(made) == sum(count for _, count in readings)
    assert made == sorted(set(made))
    assert all((one.version, one.variant) == (7, RFC_4122) for one in made)


def test_ids_made_together_do_not_overflow_a_millisecond() -> None:
    with reproducible_ids(0, lambda: 5_000_000), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "_last_millis", 5)
        patch.setattr(ids, "_counter", 2**32 - 2)
        before, after = new_ids(1), new_ids(3)

    assert [millis_of(one) for one in before + after] == [5, 6, 6, 6]


def test_ids_of_several_threads_are_all_different_and_grow_in_each() -> None:
    made: list[list[UUID]] = [[] for _ in range(8)]
    start = threading.Barrier(len(made))

    def make(mine: list[UUID]) -> None:
        start.wait()
        mine += [new_id() for _ in range(2000)]

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 16_000


@given(st.lists(st.integers(1, 2**48 - 2), min_size=1))
def test_ids_grow_whatever_the_clock_does(readings: list[int]) -> None:
    made = made_at(readings)

    assert made == sorted(set(made))
    assert all((one.version, one.variant) == (7, RFC_4122) for one in made)
    assert millis_of(made[0]) == readings[0]


@given(st.integers(1, 2**48 - 2))
def test_ids_show_the_time_they_were_made(millis: int) -> None:
    assert [millis_of(one) for one in made_at([millis] * 3)] == [millis] * 3


def test_a_millisecond_that_is_used_up_lends_from_the_next() -> None:
    with reproducible_ids(0, lambda: 5_000_000), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "_last_millis", 5)
        patch.setattr(ids, "_counter", 2**32 - 2)
        made = [new_id() for _ in range(3)]

    assert made == sorted(set(made))
    assert [millis_of(one) for one in made] == [5, 6, 6]
    assert all((one.version, one.variant) == (7, RFC_4122) for one in made)


def test_one_seed_and_one_clock_make_the_same_ids_again() -> None:
    def made(seed: int) -> list[UUID]:
        with reproducible_ids(seed, lambda: 5_000_000):
            return [new_id() for _ in range(3)]

    before = new_id()
    assert made(1) == made(1) != made(2)
    assert new_id() > before


def test_an_id_is_a_uuid_like_any_other() -> None:
    made = new_id()
    same = UUID(str(made))

    assert (made, hash(made), repr(made), made.is_safe) == (same, hash(same), repr(same), same.is_safe)
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == same  # noqa: S301 - our own


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of other tests' threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    new_id()
    made_here, made_there = (
        multiprocessing.get_context("fork").Queue(),
        multiprocessing.get_context("fork").Queue(),
    )
    child = multiprocessing.get_context("fork").Process(target=_make_ids, args=(made_there,))
    child.start()
    _make_ids(made_here)

    here, there = made_here.get(), made_there.get()
    child.join()
    assert not {one & (1 << 42) - 1 for one in here} & {one & (1 << 42) - 1 for one in there}


def _make_ids(queue: "multiprocessing.Queue[list[int]]") -> None:
    queue.put([new_id().int for _ in range(100)])
