"""Producers that are killed in the middle of scheduling: each receipt that was given names one job."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from uuid import UUID

import pytest

from jobmaster import Runtime
from tests.e2e.ledger import LedgerReader
from tests.e2e.processes import registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.workload import NOOP

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]

KILLS = 3
ORDERS = 200
"""Receipts a producer may give before it is killed."""
UNDER_WAY = 20
"""Orders, at the most, that a producer has sent and not yet had a receipt for."""


async def test_every_receipt_of_a_killed_producer_names_one_job(scenario: Scenario, tmp_path: Path) -> None:
    receipts = LedgerReader(tmp_path / "receipts.txt")
    async with scenario.watching() as runtime:
        [worker] = scenario.fleet.start_workers(1)
        await registered(runtime, worker)
        for number in range(KILLS):
            await produce_and_die(scenario, receipts, ORDERS * (number + 1), ("asyncio", "trio")[number % 2])
        given = jobs_by_order(receipts)
        again = await repeat(scenario, runtime, max(given) + 1)
        scenario.accepted = sorted(set(again.values()))
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime, unacknowledged=True)

    print(f"\n{KILLS} producers killed, {len(receipts.ends())} receipts:", audit.summary())  # noqa: T201
    assert len(given) >= ORDERS * KILLS - UNDER_WAY
    assert {order: jobs for order, jobs in given.items() if jobs != {again[order]}} == {}
    orphan = audit.tables.definitions.keys() - set(again.values())
    assert len(orphan) <= UNDER_WAY * KILLS, "at the most what was under way at each kill has no receipt"


async def produce_and_die(scenario: Scenario, receipts: LedgerReader, orders: int, backend: str) -> None:
    """Let a producer process begin with order 0, and kill it once it has given a receipt for so many."""
    producer = scenario.fleet.start("tests.e2e.producer_app", ledger=str(receipts.path), backend=backend)

    async def enough() -> bool:
        assert producer.is_alive, f"the producer ended by itself: {producer.tail()}"
        return any(entry.attempt >= orders and entry.pid == producer.pid for entry in receipts.ends())

    await eventually(enough, pause=0.005, what=f"{orders} receipts")
    producer.kill()


def jobs_by_order(receipts: LedgerReader) -> dict[int, set[UUID]]:
    """Return the jobs that receipts named for each order; three producers gave some for the early ones."""
    jobs: dict[int, set[UUID]] = defaultdict(set)
    for entry in receipts.ends():
        jobs[entry.attempt].add(entry.job_id)
    return jobs


async def repeat(scenario: Scenario, runtime: Runtime, orders: int) -> dict[int, UUID]:
    """Schedule every order once more; what is known by its key is not made again."""
    assert scenario.url
    requests = [NOOP.request({"order": order}, key=f"order-{order}") for order in range(orders)]
    receipts = await runtime.scheduler.once_many(requests)
    return {order: receipt.job_id for order, receipt in enumerate(receipts)}
