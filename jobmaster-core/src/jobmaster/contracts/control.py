"""Steering what runs: the cluster's mode, settings and lanes, and requests to workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from attrs import field, frozen

from jobmaster.models import ClusterRecord
from jobmaster.states import ClusterMode, WorkerRequest


@frozen(kw_only=True)
class ClusterChange:
    """Changes to a cluster; settings that are not named stay as they are.

    `settings` are added to the cluster's `changes`, `reset` names settings to remove from them; `pause` and `resume`
    name lanes.
    """

    mode: ClusterMode | None = None
    settings: Mapping[str, Any] = field(factory=dict)
    reset: Sequence[str] = ()
    pause: Sequence[str] = ()
    resume: Sequence[str] = ()

    def applied_to(self, cluster: ClusterRecord) -> ClusterRecord:
        """Return the cluster with the change applied."""
        changes = {name: value for name, value in cluster.changes.items() if name not in self.reset}
        return ClusterRecord(
            id=cluster.id,
            mode=self.mode or cluster.mode,
            settings=cluster.settings,
            changes={**changes, **self.settings},
            paused_lanes=cluster.paused_lanes.difference(self.resume).union(self.pause),
            created_at=cluster.created_at,
        )


@frozen(kw_only=True)
class Orders:
    """What a process has to follow: its cluster's record, and the requests to its workers, by worker name."""

    cluster: ClusterRecord
    requests: Mapping[str, WorkerRequest] = field(factory=dict)


class ControlStore(ABC):
    """What operators change while a cluster runs. Processes are notified, and also check on their own now and then."""

    @abstractmethod
    async def change_cluster(self, cluster_id: str, change: ClusterChange) -> ClusterRecord | None:
        """Apply a change; return the changed cluster, or None if this master has no such cluster.

        Read, changed and written in one unit: concurrent changes do not undo each other.
        """

    @abstractmethod
    async def request_worker(self, cluster_id: str, name: str, request: WorkerRequest) -> Sequence[UUID]:
        """Note a request on every worker of this name that has not stopped; return the ids of those that run.

        * A worker that was declared lost may come back: if its process is alive, it finds the request among its orders.
          If no worker of this name runs, the ids are those of the lost ones.
        * A request concerns existing registrations only: a process that is started later does not see it.
        * A stop replaces a drain, never the other way round. `workers.list_all` shows it.
        """

    @abstractmethod
    async def read_orders(self, cluster_id: str, process_id: UUID) -> Orders | None:
        """Return the orders of a process, or None if this master has no such cluster. Writes nothing.

        Requests are those to any registration of the process's workers, past ones too: a worker that registers anew
        sees the requests from before.
        """
