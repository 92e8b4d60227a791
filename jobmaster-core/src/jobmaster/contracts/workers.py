"""The workers of a cluster and their leases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from attrs import frozen

from jobmaster.models import Bucket, Load, WorkerRecord

REQUESTS_KEPT: Final = 7 * 86400.0
"""Seconds for which a request to a lost worker is kept: its host may only have been asleep."""


@frozen(kw_only=True)
class HeartbeatReply:
    """The answer to a heartbeat: which of the workers are alive, and what has to be looked after.

    `cancelling` are the living workers that have jobs to cancel in their buckets. `rescue.is_needed` is set only if the
    caller asked, and only while any of the workers is alive.
    """

    alive: frozenset[UUID] = frozenset()
    cancelling: frozenset[UUID] = frozenset()
    needs_rescue: bool = False


class WorkerStore(ABC):
    """Workers, and the leases that say which of them are alive."""

    @abstractmethod
    async def register(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        """Store a worker with a lease of `lease` seconds from the store's now, and its buckets as active.

        One unit: no process ever sees a bucket whose worker has no lease. Idempotent.
        """

    @abstractmethod
    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        """Renew the leases of workers and note the load of their buckets; return which live, and what there is to do.

        * A worker that was declared lost is not renewed and not alive: it must fence itself.
        * A caller that names a cluster as `rescuing` is told whether it needs a rescue, as by `rescue.is_needed`.
        * Leases depend on the answer: queries that read more than a few index entries do not belong here.
        """

    @abstractmethod
    async def set_stopping(self, worker_id: UUID) -> None:
        """Note that a worker stops: it is `stopping`, its active buckets are `completing`."""

    @abstractmethod
    async def retire(self, worker_id: UUID) -> None:
        """Note that a worker has stopped by itself."""

    @abstractmethod
    async def list_all(self, cluster_id: str) -> Sequence[WorkerRecord]:
        """Return the cluster's workers, the newest first."""

    @abstractmethod
    async def prune(self, cluster_id: str, age: float, before: datetime | None = None) -> int:
        """Delete stopped and lost workers, and buckets that are ready to delete, older than `age` seconds.

        If `before` is given, they have to be from before it too: the store's clock may have jumped since the caller
        looked. A lost worker with a request is kept for at least `REQUESTS_KEPT` seconds: it may come back.
        """
