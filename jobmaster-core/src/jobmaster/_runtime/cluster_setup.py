"""How a process joins a cluster: the master's schema, the cluster's record, and whether its workers fit in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobmaster._policy.placement import agents_in_use
from jobmaster._runtime.durability import MASTER
from jobmaster.errors import ConfigurationError, SchemaError
from jobmaster.models import ClusterRecord
from jobmaster.urls import shown

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster.states import ClusterMode

log = logging.getLogger("jobmaster.cluster")


async def prepare_master(env: Environment, url: str) -> None:
    """Open the master and prepare its schema; raises `SchemaError` if that is old and must not be migrated.

    Durability is checked first: a read-only server can do none of the rest.
    """
    await env.master.open()
    await env.durability.check(MASTER, env.master)
    if env.settings.auto_migrate:
        await env.master.schema.migrate()
    elif pending := await env.master.schema.pending():
        remedy = "run `jobmaster migrate`, or set auto_migrate=True"
        raise SchemaError.behind(f"the schema of {shown(url, env.plugins.schemes)}", pending, remedy)


async def registered(env: Environment, mode: ClusterMode, *, settles: bool) -> ClusterRecord:
    """Return the registered cluster; register it in `mode` if it is new.

    With `settles` the cluster takes on the settings of this process; otherwise its settings stay as they are.
    """
    known = None if settles else await env.master.clusters.get(env.cluster_id)
    if known is None:
        record = ClusterRecord(id=env.cluster_id, mode=mode, settings=env.settings.shared())
        known = await env.master.clusters.register(record)
    return known


async def check_one_way(env: Environment) -> None:
    """Check that no worker without an agent joins a cluster that has agents: it would get no jobs."""
    unnamed = await env.agents.unnamed()
    if unnamed and env.agents.distributed:
        await _warn_of(unnamed, env)
    elif unnamed:
        msg = (
            f"cluster {env.cluster_id!r} has agents ({', '.join(unnamed)}) and cannot be standalone again; "
            "name them with add_agent(name, url), and give each worker its agent"
        )
        raise ConfigurationError(msg)


async def _warn_of(unnamed: Sequence[str], env: Environment) -> None:
    """Warn of agents that are in use and not configured here. The master also remembers those that are long gone."""
    in_use = agents_in_use(await env.master.buckets.list_all(env.cluster_id))
    if missing := [name for name in unnamed if name in in_use]:
        log.warning(
            "the cluster has agents that this process does not name (%s): it cannot bring back their jobs",
            ", ".join(missing),
        )
