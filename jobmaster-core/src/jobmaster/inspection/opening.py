"""Opening a master for inspection: nothing is registered, migrated or started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from jobmaster._runtime.start_warnings import in_memory
from jobmaster.cluster import Cluster
from jobmaster.contracts import MasterRepository
from jobmaster.errors import (
    ClusterNotFoundError,
    JobMasterError,
    SchemaError,
    StoreUnavailableError,
    starting,
)
from jobmaster.models import ClusterRecord


@asynccontextmanager
async def opened(cluster: Cluster) -> AsyncIterator[MasterRepository]:
    """Open the cluster's master within the block. A missing file is not created: its path may be misspelled.

    Raises `SchemaError` for a schema that is too new for this code; pending migrations are not an error here.
    """
    master = cluster.open_master()
    try:
        await master.open(create=False)
        await master.schema.newer()
        with starting():
            yield master
    finally:
        with anyio.CancelScope(shield=True):
            await master.close()


async def registered(cluster: Cluster, master: MasterRepository) -> ClusterRecord:
    """Return the cluster as its master knows it.

    Pending migrations alone are not an error. Raises `SchemaError` if the data to read does not exist until they are
    applied, `ClusterNotFoundError` if the master has no such cluster.
    """
    try:
        with starting():
            record = await master.clusters.get(cluster.id)
    except StoreUnavailableError:
        raise
    except JobMasterError as error:
        await _explain(master, error)
        raise
    if record is None:
        raise ClusterNotFoundError(cluster.id, in_memory=bool(in_memory(cluster.master_url, ())))
    return record


async def _explain(master: MasterRepository, error: JobMasterError) -> None:
    """Raise `SchemaError` if pending migrations can be the reason why a query failed."""
    if pending := await master.schema.pending():
        raise SchemaError.behind("the schema", pending, "run `jobmaster migrate`") from error
