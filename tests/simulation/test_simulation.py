"""Whole clusters in virtual time, with faults between every two store calls: nothing is lost, run twice or left over.

Each seed is another scenario. A failure names it, and the command that plays it again with all that happened.

It was proven to find what it is there to find by breaking the product, one thing at a time, and seeing seeds fail:

* messages leave their agent before the master has the report
* handovers are forgotten before they are pushed
* workers do not fence themselves
* a rescue records no lost attempts
* a crash uses up a retry
* a bucket is drained without saving what only its agent knew
* keyed jobs go straight to agents

And these it found by itself: buckets that a rescuer gave away and nobody took, handovers whose second push ran a job
again, a registration without an answer whose lease was counted from too late, a take-over that came to be after its
rescuer had looked for it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jobmaster.states import WorkerMode
from jobmaster_testing.simulation import Scenario, simulate
from jobmaster_testing.simulation.scenario import Event, Faults, ProcessSpec

SEEDS, CHUNK = 200, 8
TRIO_SEEDS = 16
FIRST = int(os.environ.get("JOBMASTER_SIMULATION_FIRST", "1"))
"""The first seed: another one plays other scenarios."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # a chunk takes 20 s of a processor that others may be using
    # The product says what it sees go wrong, thousands of times.
    pytest.mark.usefixtures("_silence"),
]


def chunks(first: int, count: int) -> list[range]:
    return [range(seed, min(seed + CHUNK, first + count)) for seed in range(first, first + count, CHUNK)]


def name_of(seeds: range) -> str:
    return f"seeds-{seeds.start}-to-{seeds.stop - 1}"


def play(seeds: range, backend: str = "asyncio") -> None:
    outcomes = [simulate(Scenario.drawn(seed), backend) for seed in seeds]
    broken = [str(outcome) for outcome in outcomes if outcome.broken]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("seeds", chunks(FIRST, SEEDS), ids=name_of)
def test_no_guarantee_is_broken(seeds: range) -> None:
    play(seeds)


@pytest.mark.parametrize("seeds", chunks(FIRST, TRIO_SEEDS), ids=name_of)
def test_no_guarantee_is_broken_under_trio(seeds: range) -> None:
    play(seeds, "trio")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_seed_always_comes_to_the_same_end(backend: str) -> None:
    first, second, other = (simulate(Scenario.drawn(seed), backend) for seed in (7, 7, 8))

    assert first.trace.digest() == second.trace.digest() != other.trace.digest()


def test_a_seed_comes_to_the_same_end_in_another_process() -> None:
    here = simulate(Scenario.drawn(7)).trace
    command = [sys.executable, "-m", "jobmaster_testing.simulation", "--seed", "7", "--trace"]

    for hashing in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hashing}
        there = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert there.stdout.splitlines()[:-1] == list(here.lines())


def test_a_broken_guarantee_is_told_with_the_command_that_shows_it() -> None:
    outcome = simulate(scenario())
    outcome.broken.append("at 1.0 s: something")

    assert "--seed 5 --cluster standalone --backend asyncio --trace" in str(outcome)
    assert "something" in str(outcome)


def test_what_a_scenario_says_is_what_happens() -> None:
    events = [Event(at=1.0, what="kill"), Event(at=2.0, what="freeze", process=1, lasting=1.5)]
    outcome = simulate(scenario(events=events, faults=Faults(slow=0.1)))
    said = [(line.split()[1], line.split()[2]) for line in outcome.trace.lines()]

    assert ("W1.1", "KILLED") in said
    frozen, thawed = said.index(("W2.1", "FROZEN")), said.index(("W2.1", "THAWED"))
    assert {who for who, _ in said[frozen + 1 : thawed]}.isdisjoint({"W2.1"})
    killed = said.index(("W1.1", "KILLED"))
    assert ("W1.1", "starts") not in said[killed:]
    assert any(line.endswith(" slow") for line in outcome.trace.lines())
    assert not outcome.broken, str(outcome)


def scenario(**changes: object) -> Scenario:
    worker = ProcessSpec(name="W1", modes=[WorkerMode.FULL])
    processes = [worker, ProcessSpec(name="W2", modes=[WorkerMode.FULL]), ProcessSpec(name="P1", calls=10)]
    settings = {"lease": 2.0, "heartbeat": 0.5, "transient_threshold": 10.0, "store_timeout": 2.0}
    return Scenario(seed=5, processes=processes, settings=settings, duration=6.0).but(**changes)
