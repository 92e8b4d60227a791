"""Held jobs on their way into buckets, here and on agents, on PostgreSQL: one statement for each lane and priority."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from uuid import UUID

from jobmaster_sql import Answer, Query, SqlAssignmentStore, SqlHandoverStore, Step, Unit
from jobmaster_sql.handovers import Messages, Note
from jobmaster_sql.placement import Group, place_params
from jobmaster_sql.rows import message_of


class PostgresAssignmentStore(SqlAssignmentStore):
    """Assigns held jobs without reading them."""

    def assign_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[dict[UUID, int]]:
        """Give each group's buckets the held jobs that are due in `ahead` microseconds; return jobs by bucket."""
        answers: list[Answer] = yield _statements("held_assign", cluster_id, ahead, groups)
        return {bucket_id: count for answer in answers for bucket_id, count in answer.rows}


class PostgresHandoverStore(SqlHandoverStore):
    """Marks and reads held jobs in one statement."""

    def mark_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[Messages]:
        """Put the held jobs that are due in `ahead` microseconds into each group's buckets; return the messages."""
        answers: list[Answer] = yield _statements("held_hand_over", cluster_id, ahead, groups)
        messages: Messages = {}
        for bucket_id, now, *row in (row for answer in answers for row in answer.rows):
            messages.setdefault(bucket_id, []).append(message_of(row, bucket_id, now, self._dialect))
        return messages

    def note_steps(self, cluster_id: str, pusher: UUID, noted: Sequence[Note]) -> tuple[Step, ...]:
        """Return the statement that stores handovers, at least one."""
        ends = list(accumulate(len(note.job_ids) for note in noted))
        params = {
            "cluster_id": cluster_id,
            "pusher": pusher,
            "id": [note.id for note in noted],
            "bucket_id": [note.bucket_id for note in noted],
            "job_ids": [job_id for note in noted for job_id in note.job_ids],
            "begins": [1, *(end + 1 for end in ends[:-1])],
            "ends": ends,
        }
        return (Query("handovers_add", params),)


def _statements(name: str, cluster_id: str, ahead: int, groups: Sequence[Group]) -> tuple[Query, ...]:
    return tuple(
        Query(
            name,
            {"cluster_id": cluster_id, "ahead": ahead, "turns": group.turns, **place_params(group)},
        )
        for group in groups
    )
