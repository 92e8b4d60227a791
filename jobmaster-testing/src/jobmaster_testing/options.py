"""The options of a provider besides its URL, without a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from attrs import field, frozen

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.plugins import Plugins

S = TypeVar("S", bound=MasterRepository | AgentRepository)


@frozen(kw_only=True)
class Options:
    """Settings for a store; satisfies `jobmaster.hookspecs.StoreOptions`.

    Args:
        table_prefix: the prefix of every table and index name.
        store_timeout: the deadline of one unit of work, in seconds.
        options: the provider's own settings.

    """

    table_prefix: str = "jm_"
    store_timeout: float = 10.0
    options: Mapping[str, Any] = field(factory=dict)


def unopened_master(url: str, options: Options | None = None) -> MasterRepository:
    """Return the master of a URL, found through its provider's entry point, not yet opened."""
    return Plugins().master(url, options or Options())


def unopened_agent(name: str, url: str, options: Options | None = None) -> AgentRepository:
    """Return the agent of a URL, found through its provider's entry point, not yet opened."""
    return Plugins().agent(name, url, options or Options())


@asynccontextmanager
async def opened(store: S) -> AsyncIterator[S]:
    """Open a store whose schema is left as it is, and close it at the end."""
    await store.open()
    try:
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


@asynccontextmanager
async def open_master(url: str, options: Options | None = None) -> AsyncIterator[MasterRepository]:
    """Open a master by its URL, as a cluster does, bring its schema up to date, and close it at the end."""
    async with opened(unopened_master(url, options)) as master:
        await master.schema.migrate()
        yield master


@asynccontextmanager
async def open_agent(name: str, url: str, options: Options | None = None) -> AsyncIterator[AgentRepository]:
    """Open an agent by its URL, as a cluster does, bring its schema up to date, and close it at the end."""
    async with opened(unopened_agent(name, url, options)) as agent:
        await agent.schema.migrate()
        yield agent
