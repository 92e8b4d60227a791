"""Workers and their leases on PostgreSQL."""

from __future__ import annotations

from jobmaster_sql import Answer, Query, SqlWorkerStore, Unit


class PostgresWorkerStore(SqlWorkerStore):
    """Renews leases with a statement that also answers."""

    def renew(self, renewal: Query) -> Unit[Answer]:
        """Renew leases; return the ids of the workers whose lease was renewed, each with what there is to do."""
        answer: Answer = yield renewal
        return answer
