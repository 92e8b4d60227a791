"""Running jobs again that may have crashed their worker, so that the next crash shows which one it was."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio
from attrs import define, field

from jobmaster._policy import outcome
from jobmaster._policy.poison import CRASHES_UNTIL_ACCUSED
from jobmaster.contracts import Mark, OutcomeStore
from jobmaster.errors import LeaseLostError, StoreError
from jobmaster.states import JobStatus

if TYPE_CHECKING:
    from jobmaster._flow.ownership import InFlight, OnReport, OwnedBucket
    from jobmaster.clock import Clock
    from jobmaster.models import Claim, Report

log = logging.getLogger("jobmaster.poison_guard")

STORE_PAUSE = 0.2
"""Seconds before a start that could not be recorded is tried again."""


@define(eq=False)
class PoisonGuard:
    """Admits suspects of one worker.

    Each suspect's start is written before it runs. A suspect with two crashes is *accused*: only one accused job is
    recorded as started at a time, so that the third crash counts against the guilty one alone.
    """

    outcomes: OutcomeStore
    on_report: OnReport
    clock: Clock
    _accused: Claim | None = field(default=None, init=False)
    _set_aside: list[OwnedBucket] = field(factory=list, init=False)

    async def admit(self, owned: OwnedBucket, entry: InFlight) -> bool:
        """Return whether a suspect may run now; if not, it was put back, set aside or reported."""
        claim = entry.claim
        if claim.crashes >= CRASHES_UNTIL_ACCUSED and not self._take_turn(owned, entry):
            return False
        if not await self._record_start(owned, entry):
            return False
        if entry.cancelled:
            entry.ended = True
            self.on_report(owned, outcome.cancelled_unstarted(claim))
            return False
        return True

    def _take_turn(self, owned: OwnedBucket, entry: InFlight) -> bool:
        if self._accused is None or self._accused is entry.claim:
            self._accused = entry.claim
            return True
        owned.set_aside(entry)
        self._set_aside.append(owned)
        return False

    def written(self, reports: Sequence[Report]) -> None:
        """Note that reports are written; after the accused job's own report, the next accused job has its turn.

        Not as soon as its handler returns: until its end is recorded, only its start is, and a crash that the next one
        causes would count against both.
        """
        accused = self._accused
        if accused is None or all(report.job_id != accused.job.id for report in reports):
            return
        self._accused = None
        waiting, self._set_aside = self._set_aside, []
        for owned in waiting:
            owned.resume()

    async def _record_start(self, owned: OwnedBucket, entry: InFlight) -> bool:
        """Write a start; after a failure its job keeps its turn, as the start may be recorded all the same."""
        claim, status = entry.claim, JobStatus.PROCESSING
        mark = Mark(job_id=claim.job.id, attempt=claim.attempt, status=status, started_at=self.clock.now())
        try:
            await self.outcomes.mark(owned.bucket, [mark])
        except LeaseLostError:
            entry.ended = True
            return False
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("job %s: its start could not be recorded, trying again", claim.job.id)
            await anyio.sleep(STORE_PAUSE)
            owned.put_back(entry)
            return False
        entry.marked = status
        return True
