"""Opening a master to look at it: nothing is registered, migrated or started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import typer

from jobmaster._runtime.forewarning import in_memory
from jobmaster.cli.exits import ClusterNotFoundError
from jobmaster.cluster import Cluster
from jobmaster.contracts import MasterRepository
from jobmaster.errors import (
    ConfigurationError,
    JobMasterError,
    SchemaError,
    StoreUnavailableError,
    starting,
)
from jobmaster.models import ClusterRecord

T = TypeVar("T")


class Backend(StrEnum):
    """The event loops to choose from."""

    ASYNCIO = "asyncio"
    TRIO = "trio"


BackendOption = Annotated[Backend, typer.Option("--backend", help="The event loop to run under.")]


def run_async(
    work: Callable[..., Awaitable[T]], *args: Any, backend: Backend = Backend.ASYNCIO, **options: Any
) -> T:
    """Run a coroutine function in an event loop; raises `ConfigurationError` for one not installed."""
    _check_installed(backend)
    return anyio.run(partial(work, *args, **options), backend=str(backend))


def _check_installed(backend: Backend) -> None:
    try:
        __import__(str(backend))
    except ImportError as error:
        msg = f"backend {backend}: it is not installed; pip install {backend}, or leave --backend out"
        raise ConfigurationError(msg) from error


@asynccontextmanager
async def opened(cluster: Cluster) -> AsyncIterator[MasterRepository]:
    """Open the cluster's master within the block. A file that is not there is not made: its path may be a slip."""
    master = cluster.open_master()
    try:
        await master.open(create=False)
        with starting():
            yield master
    finally:
        with anyio.CancelScope(shield=True):
            await master.close()


async def registered(cluster: Cluster, master: MasterRepository) -> ClusterRecord:
    """Return the cluster as its master knows it.

    Pending migrations alone are no obstacle. Raises `SchemaError` if what is to be read is not there before
    they are applied, `ClusterNotFoundError` if the master has no such cluster.
    """
    try:
        with starting():
            record = await master.get_cluster(cluster.id)
    except StoreUnavailableError:
        raise
    except JobMasterError as error:
        await _explain(master, error)
        raise
    if record is None:
        raise ClusterNotFoundError(cluster.id, in_memory=bool(in_memory(cluster.master_url, ())))
    return record


async def _explain(master: MasterRepository, error: JobMasterError) -> None:
    """Raise `SchemaError` if pending migrations can be why a query failed."""
    if pending := await master.pending_migrations():
        raise SchemaError.behind("the schema", pending, "run `jobmaster migrate`") from error
