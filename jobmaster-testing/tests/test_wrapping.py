"""Repositories of which a test takes some calls to itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from jobmaster.contracts import OutcomeStore
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import JobQuery, Report
from jobmaster_testing.factories import CLUSTER, make_new_job
from jobmaster_testing.wrapping import Passing, intercepted, with_stores

pytestmark = pytest.mark.anyio


class Deaf(Passing[OutcomeStore]):
    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        return frozenset(report.job_id for report in reports)


async def test_one_store_is_replaced_and_all_else_is_shared() -> None:
    master = MemoryMaster()
    deaf = with_stores(master, outcomes=Deaf(master.outcomes))
    await deaf.jobs.insert([make_new_job()])

    assert await deaf.outcomes.report([]) == await deaf.outcomes.ended_attempts([]) == frozenset()
    assert isinstance(deaf.outcomes, Deaf)
    assert not isinstance(master.outcomes, Deaf)
    assert await master.jobs.count(CLUSTER, JobQuery()) == await deaf.jobs.count(CLUSTER, JobQuery()) != {}


def test_a_store_that_no_repository_has_is_refused() -> None:
    with pytest.raises(ValueError, match="outcome"):
        with_stores(MemoryMaster(), outcome=None)


async def test_every_call_is_intercepted_under_the_name_of_its_store() -> None:
    calls: list[str] = []

    async def around(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        calls.append(name)
        return await act()

    master, agent = intercepted(MemoryMaster(), around), intercepted(MemoryAgent("A"), around)
    await master.open()
    await master.jobs.count(CLUSTER, JobQuery())
    await agent.buckets.holdings()
    await agent.fingerprint()
    await agent.close()

    assert calls == ["open", "jobs.count", "buckets.holdings", "fingerprint"]
    assert (agent.name, master.capabilities) == ("A", MemoryMaster().capabilities)
