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
    """What to change about a cluster; what is not named stays.

    `settings` are added to the cluster's `changes`, `reset` names those to take out of them again; `pause` and
    `resume` name lanes.
    """

    mode: ClusterMode | None = None
    settings: Mapping[str, Any] = field(factory=dict)
    reset: Sequence[str] = ()
    pause: Sequence[str] = ()
    resume: Sequence[str] = ()

    def applied_to(self, cluster: ClusterRecord) -> ClusterRecord:
        """Return the cluster as it is after the change."""
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
    """What a process goes by: its cluster, and what its workers were asked, by their names."""

    cluster: ClusterRecord
    requests: Mapping[str, WorkerRequest] = field(factory=dict)


class ControlStore(ABC):
    """What people change while a cluster runs. Processes are notified of it, and look by themselves now and then."""

    @abstractmethod
    async def change_cluster(self, cluster_id: str, change: ClusterChange) -> ClusterRecord | None:
        """Apply a change; return the cluster as it is then, or None if this master has no such cluster.

        Read, changed and written in one unit: of changes at the same time none undoes another.
        """

    @abstractmethod
    async def request_worker(self, cluster_id: str, name: str, request: WorkerRequest) -> Sequence[UUID]:
        """Note a request on every worker of this name but those that have stopped; return the ids of those that run.

        * One that was declared lost may be back: its process lives, and finds the request among its orders. Where none
          of this name runs, the ids are those of the lost ones.
        * A request is for the registrations that there are: no process that is started later hears of it.
        * A stop takes the place of a drain, and never the other way round. `list_workers` shows it.
        """

    @abstractmethod
    async def read_orders(self, cluster_id: str, process_id: UUID) -> Orders | None:
        """Return what a process goes by, or None if this master has no such cluster. Writes nothing.

        BucketRequests are those to any registration of the process's workers, past ones too: a worker that registers
        anew learns what it was asked before that.
        """
