"""Held jobs on their way into buckets of the master's own rows, on any SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from jobmaster.contracts import Assignment, AssignmentStore, Room
from jobmaster.models import Bucket
from jobmaster.states import Priority
from jobmaster_sql.cells import is_priority, priority_of
from jobmaster_sql.parked import parked_homes, parked_params
from jobmaster_sql.placement import Group, groups_of, next_in, place_params, share_out
from jobmaster_sql.rows import micros
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit


class SqlAssignmentStore(SqlStore, AssignmentStore):
    """Implements `AssignmentStore`; the contract's docstrings say what each method does.

    Override point: `assign_held`.
    """

    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        """Put held jobs due within `ahead` seconds into buckets, earliest first."""
        return await self._driver.run(lambda: self._assign_due(cluster_id, ahead, rooms))

    def _assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Unit[Assignment]:
        groups = groups_of(rooms)
        assigned = (yield from self.assign_held(cluster_id, micros(ahead), groups)) if groups else {}
        next_due: Answer = yield Query("held_next", {"cluster_id": cluster_id}, last=True)
        return Assignment(
            assigned=assigned,
            next_in=next_in(next_due, micros(ahead)),
            next_for_rooms=next_in(next_due, micros(ahead), groups),
        )

    def assign_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[dict[UUID, int]]:
        """Give each group's buckets the held jobs that are due in `ahead` microseconds; return jobs by bucket."""
        params = {"cluster_id": cluster_id, "ahead": ahead}
        return (yield from self._place(groups, [Query("held_due", params | place_params(g)) for g in groups]))

    def _place(self, groups: Sequence[Group], queries: Sequence[Query]) -> Unit[dict[UUID, int]]:
        """Share the jobs that each query finds among the buckets of its group; return jobs by bucket."""
        answers: list[Answer] = yield tuple(queries)
        assigned: dict[UUID, int] = {}
        rows = []
        for group, answer in zip(groups, answers, strict=True):
            for (stored_id,), bucket_id in zip(answer.rows, share_out(group), strict=False):
                rows.append((stored_id, self._dialect.uuid(bucket_id)))
                assigned[bucket_id] = assigned.get(bucket_id, 0) + 1
        if rows:
            yield Batch("live_assign", ("job_id", "bucket_id"), rows)
        return assigned

    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        """Return the lanes and priorities of held jobs that have been due for `waited` seconds."""
        return await self._driver.run(lambda: self._due_places(cluster_id, micros(waited)), read_only=True)

    def _due_places(self, cluster_id: str, waited: int) -> Unit[frozenset[tuple[str, Priority]]]:
        first: Answer = yield Query("held_next", {"cluster_id": cluster_id}, last=True)
        return frozenset(
            (lane, priority_of(priority))
            for lane, priority, due_in in first.rows
            if due_in <= -waited and not is_priority(priority)
        )

    async def adopt_parked(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        """Put parked jobs of these definitions into the bucket of their lane and priority."""
        homes = await parked_homes(self._driver, buckets, definition_ids)
        return await self._driver.run(lambda: self._adopt(homes, definition_ids, limit)) if homes else 0

    def _adopt(
        self, homes: Sequence[tuple[str, Group]], definition_ids: Sequence[str], limit: int
    ) -> Unit[int]:
        adopted = 0
        for cluster_id, home in homes:
            if adopted < limit:
                room = home.with_room(limit - adopted)
                known = Query("parked_known", parked_params(cluster_id, room, definition_ids, self._dialect))
                adopted += sum((yield from self._place([room], [known])).values())
        return adopted
