"""What a process of a scenario is told: one JSON object in its environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, field, frozen

from jobmaster import Cluster, FixedBackoff, RetryPolicy

VARIABLE = "E2E_CONFIG"

QUICK: Mapping[str, Any] = {
    "lease": 1.0,
    "heartbeat": 0.25,
    "beat": 0.2,
    "poll_interval": 0.25,
    "stop_grace": 5.0,
    "store_timeout": 5.0,
}


@frozen(kw_only=True)
class Config:
    """Where the cluster is and how this process takes part in it. `clusters` run side by side.

    A cluster without `agents` (URLs by name) is a standalone one. In a distributed one, the process has a worker
    on each of the agents that it `serves`: the first is called `worker`, the names of others end with their agent's.
    """

    url: str
    ledger: str
    clusters: tuple[str, ...] = ("E2E-1",)
    agents: Mapping[str, str] = field(factory=dict)
    serves: tuple[str, ...] = ()
    mode: str = "full"
    worker: str = "W-1"
    backend: str = "asyncio"
    parallelism: float = 1.0
    settings: Mapping[str, Any] = field(factory=lambda: dict(QUICK))

    def but(self, **changes: Any) -> Config:
        """Return this configuration with changes; `settings` are merged."""
        settings = {**self.settings, **changes.pop("settings", {})}
        return evolve(self, settings=settings, **changes)

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that `from_environment` reads."""
        return {**os.environ, VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Config:
        """Return what this process was told."""
        values = json.loads(os.environ[VARIABLE])
        return cls(**values | {name: tuple(values[name]) for name in ("clusters", "serves")})

    def producer(self, cluster_id: str | None = None) -> Cluster:
        """Return a cluster without workers."""
        policy = RetryPolicy(default=FixedBackoff(0.05))
        made = Cluster(cluster_id or self.clusters[0], self.url).configure(retry=policy, **self.settings)
        for name, url in self.agents.items():
            made.add_agent(name, url)
        return made

    def workers(self, cluster_id: str) -> Sequence[Mapping[str, Any]]:
        """Return the settings of this process's workers in a cluster; with several clusters, it is in their names."""
        name = self.worker if len(self.clusters) == 1 else f"{self.worker}-{cluster_id}"
        common = {"parallelism": self.parallelism, "mode": self.mode}
        if not self.serves:
            return [{**common, "name": name}]
        first = self.serves[0]
        return [
            {**common, "name": name if agent == first else f"{name}-{agent}", "agent": agent}
            for agent in self.serves
        ]
