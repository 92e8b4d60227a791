"""Steering a cluster from outside: stored on its master and announced. Nothing is registered, migrated or started."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from attrs import frozen

from jobmaster.cluster import Cluster
from jobmaster.contracts import ClusterChange, MasterRepository, NotificationChannel, Topics
from jobmaster.data import text_fault
from jobmaster.errors import StoreError, WorkerNotFoundError
from jobmaster.inspection.models import RUNNING
from jobmaster.inspection.opening import opened, registered
from jobmaster.inspection.slips import lane_note
from jobmaster.models import ClusterRecord
from jobmaster.states import WorkerRequest, WorkerStatus


async def changed(cluster: Cluster, change: ClusterChange) -> ClusterRecord:
    """Change a cluster that its master knows; return it as it is then."""
    async with opened(cluster) as master:
        return await _changed(cluster, master, await registered(cluster, master), change)


async def _changed(
    cluster: Cluster, master: MasterRepository, record: ClusterRecord, change: ClusterChange
) -> ClusterRecord:
    record = await master.control.change_cluster(cluster.id, change) or record
    await _announce(master.notifications, [Topics.cluster(cluster.id)])
    return record


async def lane_changed(cluster: Cluster, change: ClusterChange, lane: str) -> tuple[ClusterRecord, str]:
    """Change a lane; return the cluster as it is then, and a note if nobody knows the lane: it may be a slip."""
    async with opened(cluster) as master:
        before = await registered(cluster, master)
        note = await lane_note(cluster, master, before, lane)
        return await _changed(cluster, master, before, change), note


@frozen
class Asked:
    """The ids of workers that were asked for something, and whether they all have lost their leases."""

    ids: Sequence[UUID]
    lost: bool


async def asked(cluster: Cluster, name: str, request: WorkerRequest) -> Asked:
    """Ask the workers of a name. Raises `WorkerNotFoundError` if none runs, or may come back."""
    async with opened(cluster) as master:
        await registered(cluster, master)
        ids = [] if text_fault(name) else await master.control.request_worker(cluster.id, name, request)
        if not ids:
            workers = await master.workers.list_all(cluster.id)
            raise WorkerNotFoundError(
                name, cluster.id, [one.name for one in workers if one.status in RUNNING]
            )
        await _announce(master.notifications, [Topics.worker(worker_id) for worker_id in ids])
        lost = {w.id for w in await master.workers.list_all(cluster.id) if w.status is WorkerStatus.LOST}
    return Asked(ids, lost.issuperset(ids))


async def _announce(notifications: NotificationChannel, topics: Sequence[str]) -> None:
    """Tell running processes. Those that do not hear it look by themselves soon."""
    with suppress(StoreError):
        await notifications.announce(topics)
