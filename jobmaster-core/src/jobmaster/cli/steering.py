"""Changing a cluster from outside: stored on its master and announced. Nothing is registered, migrated or started."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from jobmaster.cli.reading import opened, registered
from jobmaster.cluster import Cluster
from jobmaster.contracts import ClusterChange, MasterRepository, Topics
from jobmaster.errors import StoreError, WorkerNotFoundError
from jobmaster.models import ClusterRecord
from jobmaster.states import WorkerRequest


async def changed(cluster: Cluster, change: ClusterChange) -> ClusterRecord:
    """Change a cluster that its master knows; return it as it is then."""
    async with opened(cluster) as master:
        record = await registered(cluster, master)
        record = await master.change_cluster(cluster.id, change) or record
        await _announce(master, [Topics.cluster(cluster.id)])
    return record


async def asked(cluster: Cluster, name: str, request: WorkerRequest) -> Sequence[UUID]:
    """Ask the workers of a name; return their ids. Raises `WorkerNotFoundError` if none runs."""
    async with opened(cluster) as master:
        await registered(cluster, master)
        ids = await master.request_worker(cluster.id, name, request)
        if not ids:
            raise WorkerNotFoundError(name, cluster.id)
        await _announce(master, [Topics.worker(worker_id) for worker_id in ids])
    return ids


async def _announce(master: MasterRepository, topics: Sequence[str]) -> None:
    """Tell running processes. Those that do not hear it look by themselves soon."""
    with suppress(StoreError):
        await master.announce(topics)
