"""Step 7: messages leave their agent after the master has committed the outcomes of their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define, field

from jobmaster._process.signals import Signal

if TYPE_CHECKING:
    from jobmaster._flow.ownership import Attempt, OwnedBucket
    from jobmaster.contracts import HandoverStore, MessageStore, OutcomeStore
    from jobmaster.models import Bucket, Report


@define(eq=False)
class Acknowledge:
    """Collects the messages of reported jobs while the last round is under way, and removes them from the agent.

    There is no hurry, and nothing waits for it: until then `unacknowledged` tells the owner that these messages
    are finished.
    """

    handovers: HandoverStore
    outcomes: OutcomeStore
    messages: MessageStore
    batch_size: int = 1000
    _waiting: list[tuple[OwnedBucket, Attempt]] = field(factory=list, init=False)
    _doubtful: set[Attempt] = field(factory=set, init=False)
    """Attempts whose reports were stale."""
    _may_return: set[Attempt] = field(factory=set, init=False)
    """Attempts that are not over: their jobs may be handed over to the same bucket again, under the same number."""
    _notifications: Signal = field(factory=Signal, init=False)

    def submit(self, settled: Sequence[tuple[OwnedBucket, Report]], stale: frozenset[UUID]) -> None:
        """Take reports that the master has written, or refused as stale."""
        if not self._waiting:
            self._notifications.set()
        self._waiting += [(owned, (report.job_id, report.attempt)) for owned, report in settled]
        for owned, report in settled:
            owned.recorded(report, stale=bool(stale) and report.job_id in stale)
            if report.parked is not None:
                self._may_return.add((report.job_id, report.attempt))
        if stale:
            self._doubtful |= {(r.job_id, r.attempt) for _, r in settled if r.job_id in stale}

    def again(self, owned: OwnedBucket, keys: Sequence[Attempt]) -> None:
        """Take messages that arrived again after they were removed."""
        if not self._waiting:
            self._notifications.set()
        owned.unacknowledged.update(keys)
        self._waiting += [(owned, key) for key in keys]

    @property
    def pending(self) -> int:
        """Messages that are still to be removed."""
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait for something to remove."""
        if not self._waiting:
            await self._notifications.wait()

    async def run_once(self) -> bool:
        """Remove one batch; return whether there was any.

        Raises `StoreUnavailableError`, and `LeaseLostError` if bucket ownership changed; nothing is forgotten.
        """
        batch = self._waiting[: self.batch_size]
        if not batch:
            return False
        for owned, keys in _by_bucket(batch).items():
            await self._remove(owned, keys)
        del self._waiting[: len(batch)]
        return True

    async def _remove(self, owned: OwnedBucket, keys: Sequence[Attempt]) -> None:
        if self._doubtful:
            await self._look_into(owned, self._doubtful.intersection(keys))
        returning = self._may_return.intersection(keys) if self._may_return else None
        if returning:
            await self._remove_returning(owned.bucket, keys, returning)
        else:
            await self.messages.acknowledge(owned.bucket, keys)
        owned.acknowledged(keys)
        self._doubtful.difference_update(keys)
        self._may_return.difference_update(keys)

    async def _remove_returning(
        self, bucket: Bucket, keys: Sequence[Attempt], returning: AbstractSet[Attempt]
    ) -> None:
        """Remove messages, some of which may belong to jobs that are back in the bucket.

        The handover is recorded first; through it those jobs are pushed once more.
        """
        job_ids = [job_id for job_id, _ in returning]
        handover = await self.handovers.open(bucket.cluster_id, bucket.id, job_ids, bucket.worker_id)
        await self.messages.acknowledge(bucket, keys)
        await self.handovers.close([handover], if_empty=True)

    async def _look_into(self, owned: OwnedBucket, doubtful: AbstractSet[Attempt]) -> None:
        """Find out why reports were stale; raises `LeaseLostError` if bucket ownership changed.

        Either the master has moved the job on: then its message may go. Or the bucket has a new owner that has yet to
        read the message: then it stays. In the first case this very report, whose answer got lost, may have moved the
        job: then the attempt is over and must not run again.
        """
        if doubtful:
            await self.outcomes.mark(owned.bucket, ())
            ended = await self.outcomes.ended_attempts(list(doubtful))
            owned.ended(ended)
            self._may_return |= doubtful - ended


def _by_bucket(batch: Sequence[tuple[OwnedBucket, Attempt]]) -> dict[OwnedBucket, list[Attempt]]:
    found: dict[OwnedBucket, list[Attempt]] = {}
    for owned, key in batch:
        found.setdefault(owned, []).append(key)
    return found
