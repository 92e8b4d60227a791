"""Which workers run in this process, under which names, and on which agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobmaster.errors import ConfigurationError
from jobmaster.models import STANDALONE, evolve
from jobmaster.states import ClusterMode

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster.config import WorkerSettings


def placed(workers: Sequence[WorkerSettings], agents: Sequence[str]) -> list[WorkerSettings]:
    """Return the workers, each with its agent; raises `ConfigurationError` for an unknown agent."""
    return [
        evolve(worker, agent=_agent_of(worker, number, agents)) for number, worker in enumerate(workers, 1)
    ]


def _agent_of(worker: WorkerSettings, number: int, agents: Sequence[str]) -> str:
    """Return the agent for a worker's buckets."""
    name = f"worker {worker.name or number}"
    known = ", ".join(agents) or "none"
    if worker.agent is None and len(agents) > 1 and worker.mode.executes:
        msg = f"{name}: name the agent of its buckets with agent=...; the cluster has {known}"
        raise ConfigurationError(msg)
    if worker.agent is not None and worker.agent not in agents:
        msg = f"{name}: there is no agent {worker.agent!r} (available: {known}); add_agent({worker.agent!r}, url) adds it"
        raise ConfigurationError(msg)
    return worker.agent or (agents[0] if agents and worker.mode.executes else STANDALONE)


def named(env: Environment, workers: Sequence[WorkerSettings]) -> list[tuple[str, WorkerSettings]]:
    """Return the workers with their names; raises `ConfigurationError` if the cluster cannot have workers."""
    if env.mode is ClusterMode.ARCHIVED and workers:
        msg = f"cluster {env.cluster_id!r} is archived and cannot have workers; remove add_worker(...), or change its mode"
        raise ConfigurationError(msg)
    default = f"{env.host.split('.')[0]}-{env.pid}"
    names = [worker.name or _numbered(default, number) for number, worker in enumerate(workers, 1)]
    return list(zip(names, workers, strict=True))


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
