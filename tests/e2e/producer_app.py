"""A producer process: `python -m tests.e2e.producer_app`. It schedules orders 0, 1, 2, … until it is killed.

Each order has its number as its key; a receipt goes to the ledger as soon as it is there, as the `end` of
attempt <order number>.
"""

from __future__ import annotations

import anyio

from jobmaster import Runtime
from tests.e2e.config import Config
from tests.e2e.ledger import END, Ledger
from tests.e2e.workload import NOOP

AT_ONCE = 8
"""Callers that schedule concurrently, so that they share flushes; every fourth one schedules in bulk."""
BULK = 5


class Orders:
    """Hands out order numbers, and writes receipts down."""

    def __init__(self, runtime: Runtime, ledger: Ledger) -> None:
        self._runtime, self._ledger = runtime, ledger
        self._next = 0

    def take(self, count: int) -> range:
        start, self._next = self._next, self._next + count
        return range(start, self._next)

    async def one_by_one(self) -> None:
        while True:
            [order] = self.take(1)
            receipt = await self._runtime.scheduler.once_now(NOOP, {"order": order}, key=f"order-{order}")
            self._ledger.write(END, receipt.job_id, order, "producer")

    async def in_bulk(self) -> None:
        while True:
            orders = self.take(BULK)
            requests = [NOOP.request({"order": order}, key=f"order-{order}") for order in orders]
            for order, receipt in zip(orders, await self._runtime.scheduler.once_many(requests), strict=True):
                self._ledger.write(END, receipt.job_id, order, "producer")


async def main(config: Config) -> None:
    async with config.producer().running() as runtime, anyio.create_task_group() as group:
        orders = Orders(runtime, Ledger(config.ledger))
        for number in range(AT_ONCE):
            group.start_soon(orders.in_bulk if number % 4 == 0 else orders.one_by_one)


if __name__ == "__main__":
    told = Config.from_environment()
    anyio.run(main, told, backend=told.backend)
