"""An agent that fails again and again is tried less and less often, and as soon as before once it has answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from jobmaster import Cluster, JobContext, handler
from jobmaster._runtime.agents import LONGEST_TIME_OUT, TIME_OUT, TIME_OUT_JITTER, Agents, Link
from jobmaster._runtime.notifier import Notifier
from jobmaster.config import AgentSettings
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.faults import Faults

Build = Callable[..., Cluster]


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Ticking:
    """Agents that go by a clock which a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        agent, notify = MemoryAgent("A"), Notifier(MemoryMaster())
        link = Link(AgentSettings(name="A", url="memory://"), agent, notify, joined=True)
        self.agents = Agents("Test-1", MemoryMaster(), [link], notify, lambda: self.now)

    def pause(self) -> float:
        """Let the agent fail, and return for how many seconds it is left alone."""
        self.agents.leave_alone("A")
        assert self.agents.weights() == {}
        began, self.now = self.now, self.agents.links["A"].away_until
        assert self.agents.weights() == {"A": 1.0}
        return self.now - began


def is_about(pause: float, full: float) -> bool:
    return full * (1 - TIME_OUT_JITTER) <= pause <= full


def test_pauses_grow_up_to_a_bound() -> None:
    ticking = Ticking()

    pauses = [ticking.pause() for _ in range(20)]

    wanted = [min(TIME_OUT * 2**n, LONGEST_TIME_OUT) for n in range(20)]
    assert all(is_about(pause, full) for pause, full in zip(pauses, wanted, strict=True)), pauses
    assert len({round(pause, 6) for pause in pauses[10:]}) > 1, "spread by jitter"


def test_after_an_answer_pauses_are_short_again() -> None:
    ticking = Ticking()
    for _ in range(5):
        ticking.pause()

    ticking.agents.answered("A")

    assert is_about(ticking.pause(), TIME_OUT)


def test_calls_that_fail_together_are_one_try() -> None:
    ticking = Ticking()

    for _ in range(10):
        ticking.agents.leave_alone("A")

    assert is_about(ticking.pause(), TIME_OUT)
    assert is_about(ticking.pause(), 2 * TIME_OUT)


@pytest.mark.anyio
@pytest.mark.parametrize("confirm", [None, "master"])
async def test_an_agent_that_takes_jobs_has_answered(distributed: Build, confirm: Any) -> None:
    @handler("AgentsPauses.Quick")
    async def quick(_: JobContext) -> None: ...

    faults = Faults()
    async with distributed(quick, faults=faults).running() as runtime:
        link = runtime._env.agents.links["A"]
        faults.away.add("A")
        while link.failures < 3:
            await runtime.scheduler.once_now(quick, confirm=confirm)
            await anyio.sleep(1)
        faults.away.clear()
        await anyio.sleep(LONGEST_TIME_OUT)
        receipt = await runtime.scheduler.once_now(quick, confirm=confirm)
        await runtime.jobs.wait(receipt.job_id, 60)
        assert link.failures == 0
