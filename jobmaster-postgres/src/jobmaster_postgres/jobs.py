"""Jobs from the first insert to the last query, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobmaster.models import JobReceipt, MetadataFilter, NewJob
from jobmaster.weighing import in_parts, new_weight
from jobmaster_postgres.inserting import ending_with, in_order, insert_steps
from jobmaster_postgres.metadata import conditions_for
from jobmaster_sql import Answer, SqlJobStore, Unit
from jobmaster_sql.new_jobs import SomeExistError, receipt_for


class PostgresJobStore(SqlJobStore):
    """Inserts jobs with one statement for each kind."""

    def insert_all(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert the jobs that are new; raises `SomeExistError` if some are not.

        The others are stored anyway, unless one has a key: whether another job has that key must be checked first.
        """
        ordered, touched = in_order(jobs), 0
        parts = list(in_parts(ordered, new_weight))
        commits = len(parts) == 1 or ordered is jobs
        for part in parts:
            steps = ending_with(insert_steps(part), last=commits and part is parts[-1])
            answers: list[Answer] = yield steps
            touched += sum(answer.touched for answer in answers)
        if touched < len(jobs):
            raise SomeExistError
        return [receipt_for(new.job.id) for new in jobs]

    def metadata_conditions(self, wanted: MetadataFilter) -> list[tuple[str, Mapping[str, Any]]]:
        """Return a condition for each kind of values that a filter names."""
        return conditions_for(wanted)
