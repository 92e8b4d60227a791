"""How PostgreSQL spells what the statements share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from jobmaster_sql import Dialect


class PostgresDialect(Dialect):
    """UUIDs and arrays are types of the database; rows are locked one by one."""

    # statement_timestamp() and not clock_timestamp(): one value for all rows, which indexes can be searched by.
    now = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    began = "(extract(epoch FROM transaction_timestamp()) * 1000000)::bigint"
    now_in_script = now
    greatest = "GREATEST"
    lock = "FOR UPDATE OF {0}"
    lock_free = "FOR UPDATE OF {0} SKIP LOCKED"
    among = "{0} = ANY(:{1}::{2}[])"
    # A subquery is hashed. An array that is a parameter would be searched from its start for each row.
    not_among = "{0} NOT IN (SELECT unnest(:{1}::{2}[]))"

    def macros(self, prefix: str) -> Mapping[str, str]:
        """Add the parts of the conditions on metadata."""
        value = "(j.metadata -> :name{{i}}::text)"
        return {
            **super().macros(prefix),
            "value": value,
            "text": "(j.metadata ->> :name{{i}}::text)",
            "tag": f"({value} ->> '$') = '{{0}}'",
            "inner": f"({value} ->> '{{0}}')",
        }

    def uuid(self, value: UUID) -> UUID:
        """Return a UUID as it is."""
        return value

    def to_uuid(self, stored: Any) -> UUID:
        """Return a UUID as it is."""
        uuid: UUID = stored
        return uuid

    def to_uuids(self, stored: Any) -> list[UUID]:
        """Return UUIDs as they are."""
        uuids: list[UUID] = stored
        return uuids

    def array(self, values: Sequence[Any]) -> list[Any]:
        """Return values as a list; the statement says of which type they are."""
        return list(values)
