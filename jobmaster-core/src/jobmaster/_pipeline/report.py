"""Step 6: outcomes go to the master in batches that grow under load."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
from attrs import define, field

from jobmaster._flow.ownership import NEVER, OwnedBucket
from jobmaster._process.signals import Signal
from jobmaster._text.logtext import counted
from jobmaster.errors import StoreError, StoreUnavailableError
from jobmaster.models import Report, evolve
from jobmaster.weighing import in_parts, report_weight

if TYPE_CHECKING:
    from jobmaster.contracts import OutcomeStore
    from jobmaster.hookspecs import JobObserver

log = logging.getLogger("jobmaster.report")

Entry = tuple[OwnedBucket, Report]
REFUSED_PAUSE = 5.0
"""Seconds before a report that the store cannot take is tried again."""

OnSettled = Callable[[Sequence[Entry], frozenset[UUID]], None]


@define(eq=False)
class Reporter:
    """Collects reports while the last flush is under way: writes at once when quiet, in hundreds when busy.

    If messages lie on an agent, `on_settled` is called with the written reports and the ids of the stale ones:
    only then may the messages go.
    """

    outcomes: OutcomeStore
    observers: Sequence[JobObserver] = ()
    on_written: Callable[[Sequence[Report]], None] = lambda _: None
    batch_size: int = 1000
    on_settled: OnSettled | None = None
    counts: Counter[str] = field(factory=Counter, init=False)
    _waiting: list[Entry] = field(factory=list, init=False)
    _refused: list[Entry] = field(factory=list, init=False)
    _again_at: float = field(default=NEVER, init=False)
    _dealt_with: int = field(default=0, init=False)
    _notifications: Signal = field(factory=Signal, init=False)

    def submit(self, owned: OwnedBucket, report: Report) -> None:
        """Take a report; it stays in memory until it is written."""
        if not self._waiting:
            self._notifications.set()
        self._waiting.append((owned, report))

    @property
    def pending(self) -> int:
        """Reports not yet written."""
        return len(self._waiting) + len(self._refused)

    async def run_once(self) -> bool:
        """Write one batch; return whether there was any. Raises `StoreUnavailableError` and loses nothing."""
        self._take_up_refused()
        batch = self._next_batch()
        if not batch:
            return False
        try:
            await self._write(batch)
        finally:  # reports written before a failure are not written again
            del self._waiting[: self._dealt_with]
            self._dealt_with = 0
        return True

    def _next_batch(self) -> Sequence[Entry]:
        """Return the reports for one write: as many as their texts and jobs leave room for."""
        batch = self._waiting[: self.batch_size]
        return next(in_parts(batch, lambda entry: report_weight(entry[1])), batch)

    async def wait(self) -> None:
        """Wait for a report, or until a refused one is due to be tried again."""
        if not self._waiting:
            await self._notifications.wait(
                None if self._again_at == NEVER else self._again_at - anyio.current_time()
            )

    async def _write(self, batch: Sequence[Entry]) -> None:
        try:
            stale = await self.outcomes.report([report for _, report in batch])
        except StoreUnavailableError:
            raise
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("%s could not be written together", counted(len(batch), "report"))
            await self._write_parts(batch)
            return
        self._settle(batch, stale)

    async def _write_parts(self, batch: Sequence[Entry]) -> None:
        """Halve a refused batch until the one report that cannot be written stands alone."""
        if len(batch) == 1:
            await self._write_bare(*batch[0])
            return
        middle = len(batch) // 2
        await self._write(batch[:middle])
        await self._write(batch[middle:])

    async def _write_bare(self, owned: OwnedBucket, report: Report) -> None:
        """Write a refused report without its texts, so that the job still ends."""
        log.error(
            "the store refused the error text or logs of job %s; writing its outcome alone", report.job_id
        )
        bare = evolve(report, error=None, logs=())
        try:
            stale = await self.outcomes.report([bare])
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("the end of job %s cannot be written; it will be tried again", report.job_id)
            self._dealt_with += 1
            self._refused.append((owned, report))
            self._again_at = anyio.current_time() + REFUSED_PAUSE
            return
        self._settle([(owned, bare)], stale)

    def _take_up_refused(self) -> None:
        """Line up again, now and then, reports refused even without their texts: they do not delay the others."""
        if self._refused and anyio.current_time() >= self._again_at:
            self._waiting += self._refused
            self._refused, self._again_at = [], NEVER

    def _settle(self, batch: Sequence[Entry], stale: frozenset[UUID]) -> None:
        self._dealt_with += len(batch)
        for owned, report in batch:
            owned.settled(report)
            self._count(report, refused=bool(stale) and report.job_id in stale)
        if stale:
            _log_stale(stale)
        if self.on_settled is not None:
            self.on_settled(batch, stale)
        self.on_written([report for _, report in batch])

    def _count(self, report: Report, *, refused: bool) -> None:
        if refused:
            self.counts["stale"] += 1
        elif report.outcome is not None:
            self.counts[report.outcome] += 1
        for observer in self.observers:
            observer.on_reported(report, refused)


def _log_stale(stale: frozenset[UUID]) -> None:
    too_late = counted(
        len(stale),
        "attempt was reported",
        "attempts were reported",
    )
    log.warning("%s too late: bucket ownership changed; one is of job %s", too_late, next(iter(stale)))
