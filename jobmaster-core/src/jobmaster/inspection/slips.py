"""Unknown names: they may be misspelled, and a note says so beside the result."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from jobmaster.cluster import Cluster
from jobmaster.contracts import MasterRepository
from jobmaster.handlers import registered_handlers
from jobmaster.inspection.models import RUNNING, Snapshot
from jobmaster.models import STANDALONE, ClusterRecord, JobQuery
from jobmaster.schedule_models import ScheduleQuery

_LOOKED_AT: Final = 100
"""The number of newest jobs and schedules whose lanes and handlers may have been meant."""

_NEAR: Final = 0.6
_VERY_NEAR: Final = 0.8
"""How similar the name of an unserved lane has to be: it may itself be misspelled."""


async def notes_on(
    cluster: Cluster,
    master: MasterRepository,
    record: ClusterRecord,
    *,
    lane: str | None = None,
    handler: str | None = None,
) -> list[str]:
    """Return a note for each unknown name."""
    notes = [
        await lane_note(cluster, master, record, lane) if lane is not None else "",
        await _handler_note(cluster, master, handler) if handler is not None else "",
    ]
    return [note for note in notes if note]


async def lane_note(cluster: Cluster, master: MasterRepository, record: ClusterRecord, lane: str) -> str:
    """Return a note about a lane without workers and jobs; empty for any other."""
    workers = await master.workers.list_all(cluster.id)
    served = {worker.lane for worker in workers if worker.status in RUNNING and worker.mode.executes}
    known = served | {settings.lane for settings in cluster.workers} | record.paused_lanes
    if lane in known or await master.jobs.count(cluster.id, JobQuery(lane=lane)):
        return ""
    others = {job.lane for job in await master.jobs.query(cluster.id, JobQuery(limit=_LOOKED_AT))}
    served_now = f" (served now: {', '.join(sorted(served))})" if served else ""
    meant = _meant(lane, known) or _meant(lane, others, _VERY_NEAR)
    return f"no worker serves lane {lane!r}, and it has no jobs{meant or served_now}"


async def _handler_note(cluster: Cluster, master: MasterRepository, handler: str) -> str:
    known = {made.definition.id for made in registered_handlers()}
    if handler in known or await _is_used(cluster, master, handler):
        return ""
    jobs = await master.jobs.query(cluster.id, JobQuery(limit=_LOOKED_AT))
    schedules = await master.schedules.query(cluster.id, ScheduleQuery(limit=_LOOKED_AT))
    known |= {job.definition_id for job in jobs} | {one.definition_id for one in schedules}
    return f"no job or schedule has the handler {handler!r}{_meant(handler, known)}"


async def _is_used(cluster: Cluster, master: MasterRepository, handler: str) -> bool:
    jobs = await master.jobs.count(cluster.id, JobQuery(definition_id=handler))
    return bool(
        jobs or await master.schedules.query(cluster.id, ScheduleQuery(definition_id=handler, limit=1))
    )


async def bucket_notes(
    cluster: Cluster, master: MasterRepository, snapshot: Snapshot, *, lane: str | None, agent: str | None
) -> list[str]:
    """Return a note for an unknown lane and an unknown agent for which no buckets were found."""
    notes = await notes_on(cluster, master, snapshot.cluster, lane=lane)
    known = {
        STANDALONE,
        *(one.record.name for one in snapshot.agents),
        *(one.agent for one in snapshot.buckets),
    }
    about_agent = _agent_note(agent, known) if agent is not None else ""
    return [*notes, about_agent] if about_agent else notes


def _agent_note(agent: str, known: Collection[str]) -> str:
    """Return a note about an unknown agent; empty for a known one."""
    return "" if agent in known else f"the cluster has no agent {agent!r}{_meant(agent, known)}"


def _meant(name: str, known: Iterable[str], nearness: float = _NEAR) -> str:
    guess = get_close_matches(name, sorted(set(known)), n=1, cutoff=nearness)
    return f"; did you mean {guess[0]!r}?" if guess else ""
