"""Where new jobs go: the view of a cluster that producers use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobmaster._policy.sharing import PATIENCE
from jobmaster._runtime.directory import ClusterView
from jobmaster.states import WorkerStatus

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment

KNOWN_FOR: Final = 2.0
RUNNING: Final = frozenset({WorkerStatus.ACTIVE, WorkerStatus.STOPPING})


async def cluster_view(env: Environment) -> ClusterView:
    """Return the buckets whose owners are not silent, and the lanes and priorities whose older jobs wait on the master.

    Buckets of silent owners are included if no others do their work.
    """
    buckets = await env.master.buckets.list_active(env.cluster_id)
    waiting = await env.master.assignments.due_places(env.cluster_id, PATIENCE)
    if waiting and not await anybody_assigns(env):
        waiting = frozenset()
    return ClusterView(env.silence.heard(buckets), waiting)


async def anybody_assigns(env: Environment) -> bool:
    """Return whether a coordinating worker is alive; the answer may be up to `KNOWN_FOR` seconds old.

    Without one, held jobs stay held: new jobs do not wait for them, and nothing is given back.
    """
    asked_at = env.monotonic()
    if asked_at - env.assigns_asked_at >= KNOWN_FOR:
        now = await env.master.now()
        workers = await env.master.workers.list_all(env.cluster_id)
        alive = (w for w in workers if w.status in RUNNING and w.lease_until and w.lease_until >= now)
        env.assigns, env.assigns_asked_at = any(w.mode.coordinates for w in alive), asked_at
    return env.assigns
