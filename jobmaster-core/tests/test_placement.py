"""Jobs are spread evenly, and never go to a full bucket or to another lane or priority."""

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import Cluster, ConfigurationError
from jobmaster._policy.placement import Place, Ranking, agent_for, by_place
from jobmaster.config import WorkerSettings, default_parallelism
from jobmaster.models import Bucket
from jobmaster.states import Priority
from jobmaster_testing import make_bucket

bucket_ids = st.integers(1, 30).map(lambda number: UUID(int=number))
loads = st.lists(
    st.tuples(st.integers(0, 200), bucket_ids), min_size=1, max_size=12, unique_by=lambda pair: pair[1]
)
starts = st.integers(0, 100)
counts = st.integers(0, 300)
buckets = st.builds(
    lambda lane, priority: make_bucket(lane=lane, priority=priority),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(Priority),
)
places = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([Priority.LOW, Priority.HIGH]))
agents = st.sampled_from("ABCD")
burdens = st.dictionaries(agents, st.dictionaries(places, st.floats(0, 1000), max_size=4))
weights = st.dictionaries(agents, st.floats(0.01, 1000))
wanted = st.lists(places, min_size=1, max_size=6)


# Agents


@given(wanted, burdens, weights)
def test_an_agent_has_a_bucket_for_each_job(
    wanted: list[Place], loads: dict[str, dict[Place, float]], weights: dict[str, float]
) -> None:
    chosen = agent_for(wanted, loads, weights)

    fit = {name for name in weights if set(wanted) <= loads.get(name, {}).keys()}
    assert chosen in fit if fit else chosen is None


@given(wanted, burdens, weights)
def test_no_other_agent_has_less_to_do_for_its_weight(
    wanted: list[Place], loads: dict[str, dict[Place, float]], weights: dict[str, float]
) -> None:
    chosen = agent_for(wanted, loads, weights)
    if chosen is None:
        return

    def burden(name: str) -> float:
        return (1 + sum(loads[name][place] for place in set(wanted))) / weights[name]

    fit = [name for name in weights if set(wanted) <= loads.get(name, {}).keys()]
    assert (burden(chosen), chosen) == min((burden(name), name) for name in fit)


@given(wanted, burdens, weights)
def test_how_often_a_place_is_wanted_and_in_which_order_does_not_matter(
    wanted: list[Place], loads: dict[str, dict[Place, float]], weights: dict[str, float]
) -> None:
    assert agent_for(wanted, loads, weights) == agent_for([*wanted[::-1], *wanted], loads, weights)


@given(st.dictionaries(agents, st.integers(1, 5), min_size=1), st.integers(1, 400))
def test_agents_get_jobs_by_their_weights(weights: dict[str, int], count: int) -> None:
    place = ("a", Priority.LOW)
    loads = {name: {place: 0} for name in weights}
    for _ in range(count):
        chosen = agent_for([place], loads, weights)
        assert chosen is not None
        loads[chosen][place] += 1

    share = count / sum(weights.values())
    assert all(abs(loads[name][place] - share * weight) <= 5 for name, weight in weights.items())


# Buckets


@given(counts, loads, starts)
def test_every_job_gets_a_known_bucket(count: int, loads: list[tuple[int, UUID]], start: int) -> None:
    chosen = Ranking(loads, start).choose(count)

    assert len(chosen) == count
    assert set(chosen) <= {bucket_id for _, bucket_id in loads}


@given(counts, loads, starts)
def test_each_job_goes_to_the_least_loaded_bucket_that_is_next(
    count: int, loads: list[tuple[int, UUID]], start: int
) -> None:
    first = start % len(loads)
    present = {bucket_id: load for load, bucket_id in loads[first:] + loads[:first]}
    for bucket_id in Ranking(loads, start).choose(count):
        assert bucket_id == min(present, key=lambda one: present[one])  # of equals the first in their order
        present[bucket_id] += 1


@given(counts, loads)
def test_loads_even_out(count: int, loads: list[tuple[int, UUID]]) -> None:
    added = Counter(Ranking(loads).choose(count))
    ends = {bucket_id: load + added[bucket_id] for load, bucket_id in loads}

    taking = [ends[bucket_id] for bucket_id in added]
    assert all(load <= min(ends.values()) + 1 for load in taking)


@given(st.lists(counts, max_size=5), loads, starts)
def test_one_choice_after_another_is_like_one_for_all(
    numbers: list[int], loads: list[tuple[int, UUID]], start: int
) -> None:
    ranking = Ranking(loads, start)

    chosen = [bucket_id for count in numbers for bucket_id in ranking.choose(count)]

    assert chosen == Ranking(loads, start).choose(sum(numbers))
    assert ranking.average_with(0) == (sum(load for load, _ in loads) + sum(numbers)) / len(loads)


@given(counts, loads)
def test_the_loads_handed_over_stay_as_they_are(count: int, loads: list[tuple[int, UUID]]) -> None:
    before = list(loads)

    Ranking(loads).choose(count)

    assert loads == before


@given(st.lists(buckets))
def test_buckets_are_grouped_by_lane_and_priority(buckets: list[Bucket]) -> None:
    places = by_place(buckets)

    assert all((b.lane, b.priority) == place for place, found in places.items() for b in found)
    assert sorted(b.id for found in places.values() for b in found) == sorted(b.id for b in buckets)
    assert all(places.values())


@given(st.floats(0.01, 1000))
def test_urgent_jobs_have_more_slots(parallelism: float) -> None:
    worker = WorkerSettings(parallelism=parallelism)
    slots = [worker.slots(priority) for priority in sorted(Priority)]

    assert slots == sorted(slots)
    assert slots[0] >= 1
    assert all(
        abs(n - p.slots * parallelism) <= 0.5 for n, p in zip(slots, sorted(Priority), strict=True) if n > 1
    )


@pytest.mark.parametrize(
    ("concurrency", "slots"),
    [
        (1, [1, 1, 1, 2, 3]),
        (5, [2, 3, 5, 8, 13]),
        (7, [3, 4, 7, 11, 18]),
        (50, [20, 30, 50, 80, 130]),
        (5000, [2000, 3000, 5000, 8000, 13000]),
    ],
)
def test_concurrency_is_how_many_jobs_of_medium_priority_run_at_once(
    concurrency: int, slots: list[int]
) -> None:
    worker = WorkerSettings(concurrency=concurrency)
    assert [worker.slots(priority) for priority in sorted(Priority)] == slots
    assert evolve(worker, lane="mail").slots(Priority.MEDIUM) == concurrency


def test_concurrency_and_parallelism_are_given_by_themselves() -> None:
    cluster = Cluster("A", "memory://")
    for parallelism in (10.0, 3):
        with pytest.raises(
            ConfigurationError, match=r"worker 1: parallelism, concurrency: both say how many .* give one"
        ):
            cluster.add_worker(parallelism=parallelism, concurrency=50)
    for wrong in (0, 5001, 2.5, True, "5"):
        given: dict[str, Any] = {"concurrency": wrong}
        with pytest.raises(
            ConfigurationError, match=r"concurrency: .* must be a whole number from 1 to 5000"
        ):
            cluster.add_worker(**given)
    assert cluster.workers == []
    assert WorkerSettings(concurrency=None).parallelism == default_parallelism()


def test_the_weights_of_priorities() -> None:
    assert [priority.slots for priority in sorted(Priority)] == [2, 3, 5, 8, 13]
