"""More random histories of jobs on an agent than the suite has, where they cost little."""

import pytest

from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.contracts.agent_fault_model import live_and_let_die
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.provider import make_world


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(100, 160))
async def test_every_accepted_job_ends_once_whatever_happens(seed: int) -> None:
    depot = Depot(await make_world(MemoryMaster()), MemoryAgent("Agent-1"))

    await live_and_let_die(depot, seed)
