"""Step 7: messages leave their agent, after the master has committed what became of their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from attrs import define, field

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.models import Report
from jobmaster.ownership import Attempt, OwnedBucket
from jobmaster.signals import Signal


@define(eq=False)
class Acknowledge:
    """Collects what was reported while the last round is under way, and removes it from the agent.

    It has no hurry, and nothing waits for it: until then the owner knows by `unacknowledged` that these
    messages are done with.
    """

    master: MasterRepository
    agent: AgentRepository
    batch_size: int = 1000
    _waiting: list[tuple[OwnedBucket, Attempt]] = field(factory=list, init=False)
    _doubtful: set[Attempt] = field(factory=set, init=False)
    _news: Signal = field(factory=Signal, init=False)

    def submit(self, settled: Sequence[tuple[OwnedBucket, Report]], stale: frozenset[UUID]) -> None:
        """Take reports that the master has written, or refused as stale."""
        if not self._waiting:
            self._news.set()
        self._waiting += [(owned, (report.job_id, report.attempt)) for owned, report in settled]
        for owned, report in settled:
            owned.recorded(report, stale=bool(stale) and report.job_id in stale)
        if stale:
            self._doubtful |= {(r.job_id, r.attempt) for _, r in settled if r.job_id in stale}

    def again(self, owned: OwnedBucket, keys: Sequence[Attempt]) -> None:
        """Take messages that came again after they were removed."""
        if not self._waiting:
            self._news.set()
        owned.unacknowledged.update(keys)
        self._waiting += [(owned, key) for key in keys]

    @property
    def pending(self) -> int:
        """Messages that are still to be removed."""
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait for something to remove."""
        if not self._waiting:
            await self._news.wait()

    async def run_once(self) -> bool:
        """Remove one batch; return whether there was any.

        Raises `StoreUnavailableError`, and `LeaseLostError` if a bucket is somebody else's; nothing is forgotten.
        """
        batch = self._waiting[: self.batch_size]
        if not batch:
            return False
        for owned, keys in _by_bucket(batch).items():
            await self._remove(owned, keys)
        del self._waiting[: len(batch)]
        return True

    async def _remove(self, owned: OwnedBucket, keys: Sequence[Attempt]) -> None:
        if doubtful := self._doubtful.intersection(keys):
            # A stale report has two reasons. Either the master has moved the job on: then its message may go.
            # Or the bucket is somebody else's, who has yet to read it: then this raises, and it stays.
            await self.master.mark(owned.bucket, ())
            # The first reason may be this very report, whose answer got lost: then its message must not run again.
            owned.ended(await self.master.ended_attempts(list(doubtful)))
        await self.agent.acknowledge(owned.bucket, keys)
        owned.acknowledged(keys)
        self._doubtful.difference_update(keys)


def _by_bucket(batch: Sequence[tuple[OwnedBucket, Attempt]]) -> dict[OwnedBucket, list[Attempt]]:
    found: dict[OwnedBucket, list[Attempt]] = {}
    for owned, key in batch:
        found.setdefault(owned, []).append(key)
    return found
