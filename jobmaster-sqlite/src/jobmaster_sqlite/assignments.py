"""Held jobs on their way into buckets, on SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from jobmaster_sql import Answer, Query, SqlAssignmentStore, Unit
from jobmaster_sql.placement import Group, place_params


class SqliteAssignmentStore(SqlAssignmentStore):
    """Assigns held jobs without moving their ids through Python where all of them go to one bucket."""

    def assign_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[dict[UUID, int]]:
        """Use one statement for each group of one bucket, and the portable way for others."""
        assigned: dict[UUID, int] = {}
        for group in groups:
            if len(group.rooms) > 1:
                assigned |= yield from super().assign_held(cluster_id, ahead, [group])
            else:
                params = {"cluster_id": cluster_id, "ahead": ahead, **place_params(group)}
                bucket_id = self._dialect.uuid(group.only)
                moved: Answer = yield Query("held_assign", {**params, "bucket_id": bucket_id})
                assigned |= {group.only: moved.touched} if moved.touched else {}
        return assigned
