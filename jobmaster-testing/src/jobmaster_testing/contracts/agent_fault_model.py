"""The life of jobs on an agent, through every kind of fault: every accepted job ends, and ends once."""
# ruff: noqa: D102 - test names say it all; tests assert

from __future__ import annotations

from random import Random

import pytest

from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.fault_model import FaultModel

STEPS = 150
SEEDS = range(5)


class LifeContract(AgentTests, suite=True):
    """Unforeseen sequences of calls, lost answers and deaths."""

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_every_accepted_job_ends_once_whatever_happens(self, depot: Depot, seed: int) -> None:
        await live_and_let_die(depot, seed)


async def live_and_let_die(depot: Depot, seed: int) -> None:
    """Let a seed decide what happens to a cluster with one agent; check that no job is lost or doubled."""
    faults = FaultModel(depot, Random(seed))  # noqa: S311 - it must be repeatable
    try:
        await faults.start()
        for _ in range(STEPS):
            await faults.step()
        await faults.settle()
    except AssertionError as error:
        error.add_note(f"seed {seed}, after: {'; '.join(faults.steps)}")
        raise
