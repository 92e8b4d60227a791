"""The messages of an agent on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from jobmaster.contracts import Message
from jobmaster.weighing import in_parts, new_weight
from jobmaster_postgres.inserting import ending_with
from jobmaster_postgres.pushing import push_any, push_steps
from jobmaster_sql import SqlMessageStore, Unit


class PostgresMessageStore(SqlMessageStore):
    """Stores messages with one statement for each kind."""

    def push_new(self, messages: Sequence[Message]) -> Unit[None]:
        """Add messages that are all new; raises `StoreConflictError` if some are not."""
        parts = list(in_parts(messages, _weight))
        for part in parts:
            yield ending_with(push_steps(part), last=part is parts[-1])

    def add_missing(self, messages: Sequence[Message]) -> Unit[None]:
        """Add the messages that are not stored yet."""
        ordered = sorted(messages, key=lambda message: message.new.job.id)
        parts = list(in_parts(ordered, _weight))
        for part in parts:
            yield ending_with((push_any(part),), last=part is parts[-1])


def _weight(message: Message) -> int:
    return new_weight(message.new)
