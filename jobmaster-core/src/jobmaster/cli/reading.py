"""Running what a command asks in an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import typer

from jobmaster.cluster import Cluster
from jobmaster.errors import ConfigurationError
from jobmaster.inspection.opening import opened

T = TypeVar("T")


class Backend(StrEnum):
    """The event loops to choose from."""

    ASYNCIO = "asyncio"
    TRIO = "trio"


def _installed(backend: Backend) -> Backend:
    """Return the event loop to run under, imported before an application's folder can be looked in.

    Raises `ConfigurationError` for one that is not installed.
    """
    try:
        __import__(str(backend))
    except ImportError as error:
        msg = f"backend {backend}: it is not installed; pip install {backend}, or leave --backend out"
        raise ConfigurationError(msg) from error
    return backend


BackendOption = Annotated[
    Backend, typer.Option("--backend", callback=_installed, help="The event loop to run under.")
]


def run_async(
    work: Callable[..., Awaitable[T]], *args: Any, backend: Backend = Backend.ASYNCIO, **options: Any
) -> T:
    """Run a coroutine function in an event loop."""
    return anyio.run(partial(work, *args, **options), backend=str(backend))


def read(work: Callable[..., Awaitable[T]], cluster: Cluster, *args: Any, **options: Any) -> T:
    """Return what a function of `inspection` finds: it takes a cluster, its open master, and what is given here."""

    async def reading() -> T:
        async with opened(cluster) as master:
            return await work(cluster, master, *args, **options)

    return run_async(reading)
