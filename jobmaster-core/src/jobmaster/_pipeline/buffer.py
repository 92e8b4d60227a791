"""Step 2: jobs become durable. Concurrent callers share a flush; a lone caller never waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
from attrs import define

from jobmaster._process.tasks import reraise_if_ending, run_to_end
from jobmaster.errors import StoreUnavailableError
from jobmaster.models import JobReceipt, NewJob
from jobmaster.weighing import AT_ONCE, new_weight

Flush = Callable[[Sequence[NewJob]], Awaitable[Sequence[JobReceipt]]]
"""Stores jobs durably, all or none, and returns their receipts in order."""

MAX_FLUSH = 1000
"""Most jobs in one flush (a single bulk call may exceed it)."""


@define(eq=False)
class _Entry:
    """The jobs that one caller wants stored, and the result."""

    jobs: Sequence[NewJob]
    weight: int = 0
    woken: anyio.Event | None = None
    """The event that its caller waits for while another caller flushes. A lone caller never waits, and needs none."""
    receipts: Sequence[JobReceipt] | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.receipts is not None or self.error is not None

    def wake(self) -> None:
        """Let its caller check the result again."""
        if self.woken is not None:
            self.woken.set()

    def end(self, receipts: Sequence[JobReceipt] | None = None, error: BaseException | None = None) -> None:
        """Give its caller the result."""
        self.receipts, self.error = receipts, error
        self.wake()


class Buffer:
    """Group commit for scheduling calls.

    The first caller flushes at once, on its own. Calls that arrive meanwhile gather; when the flush is done, one of
    them is woken to flush for all that gathered. A caller that is cancelled while its flush is under way lets it
    finish for the sake of the others.
    """

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._gathered: list[_Entry] = []
        self._flushing = False

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Return the receipts of `jobs`, in order, once all are durable; raises what the store raised.

        Large jobs do not share a flush: other callers would have to wait for them.
        """
        weight = sum(map(new_weight, jobs))
        if weight > AT_ONCE:
            with anyio.CancelScope(shield=True):
                return await self._flush(jobs)
        entry = _Entry(jobs, weight)
        self._gathered.append(entry)
        try:
            while not entry.done:
                if self._flushing:
                    entry.woken = anyio.Event()
                    await entry.woken.wait()
                else:
                    await self._lead()
        except BaseException:
            self._leave(entry)
            raise
        if entry.error is not None:
            raise entry.error
        return entry.receipts or ()

    def _leave(self, entry: _Entry) -> None:
        """A caller was cancelled while it waited: take its jobs back, and pass on the lead it may have had."""
        if entry in self._gathered:
            self._gathered.remove(entry)
        if not self._flushing:
            self._wake_next()

    async def _lead(self) -> None:
        batch = self._take_batch()
        self._flushing = True
        if len(batch) > 1:
            await run_to_end(self._flush_for_all, batch)
        else:
            with anyio.CancelScope(shield=True):
                await self._flush_for_all(batch)

    async def _flush_for_all(self, batch: Sequence[_Entry]) -> None:
        try:
            receipts = await self._flush([job for entry in batch for job in entry.jobs])
        except BaseException as error:  # noqa: BLE001 - handed to the callers
            await reraise_if_ending(error)
            await self._part(batch, error)
        else:
            _deal(batch, receipts)
        finally:
            self._flushing = False
            self._wake_next()

    def _take_batch(self) -> list[_Entry]:
        size, weight, count = 0, 0, 0
        for entry in self._gathered:
            if count and (size + len(entry.jobs) > MAX_FLUSH or weight + entry.weight > AT_ONCE):
                break
            size, weight, count = size + len(entry.jobs), weight + entry.weight, count + 1
        batch, self._gathered = self._gathered[:count], self._gathered[count:]
        return batch

    async def _part(self, batch: Sequence[_Entry], error: BaseException) -> None:
        """No caller may fail because of another's jobs: unless the store is down, each entry gets its own flush."""
        if len(batch) == 1 or isinstance(error, StoreUnavailableError):
            for entry in batch:
                entry.end(error=error)
            return
        for entry in batch:
            try:
                entry.end(await self._flush(entry.jobs))
            except BaseException as own:  # noqa: BLE001 - handed to the caller
                await reraise_if_ending(own)
                entry.end(error=own)

    def _wake_next(self) -> None:
        if self._gathered:
            self._gathered[0].wake()


def _deal(batch: Sequence[_Entry], receipts: Sequence[JobReceipt]) -> None:
    start = 0
    for entry in batch:
        entry.end(receipts[start : start + len(entry.jobs)])
        start += len(entry.jobs)
