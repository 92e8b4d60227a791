"""The in-memory provider, `memory://name`: the reference implementation of the contracts, and for tests.

Nothing outlives the process. Masters of one process that name the same store share it, and so do agents; an agent's
store is separate from a master's of the same name. `memory://` without a name is a separate store. Every method does
its work without yielding, under one lock.
"""

from __future__ import annotations

from collections.abc import Mapping

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.hookspecs import StoreOptions, hookimpl
from jobmaster.memory.agent import MemoryAgent
from jobmaster.memory.master import MemoryMaster


@hookimpl
def jobmaster_schemes() -> Mapping[str, str]:
    """Serve `memory://`."""
    return {"memory": "in this process only, for tests: memory://name"}


@hookimpl
def jobmaster_master(url: str, options: StoreOptions) -> MasterRepository | None:
    """Return a memory master; `store_options={"clock": …}` moves its time."""
    scheme, _, name = url.partition("://")
    return MemoryMaster(name.strip("/"), options.options.get("clock")) if scheme == "memory" else None


@hookimpl
def jobmaster_agent(name: str, url: str, options: StoreOptions) -> AgentRepository | None:
    """Return a memory agent; `store_options={"clock": …}` moves its time."""
    scheme, _, store = url.partition("://")
    return MemoryAgent(name, store.strip("/"), options.options.get("clock")) if scheme == "memory" else None


__all__ = [
    "MemoryAgent",
    "MemoryMaster",
    "jobmaster_agent",
    "jobmaster_master",
    "jobmaster_schemes",
]
