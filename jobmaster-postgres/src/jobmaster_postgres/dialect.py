"""How PostgreSQL spells the common parts of statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from jobmaster_postgres.schema import TABLES
from jobmaster_sql import Dialect

_NUL: Final = "chr(92) || 'u0000'"
_BACKSLASH: Final = "chr(92) || chr(92)"
_METADATA: Final = (
    f"(CASE WHEN strpos(j.metadata::text, {_NUL}) = 0 "
    f"OR strpos(replace(j.metadata::text, {_BACKSLASH}, ''), {_NUL}) = 0 THEN j.metadata END)"
)
"""A job's metadata as JSON. Old rows may contain an escaped NUL, which makes every access to the JSON fail."""


class PostgresDialect(Dialect):
    """UUIDs and arrays are types of the database; rows are locked one by one."""

    # statement_timestamp() and not clock_timestamp(): one value for all rows, which can be used with indexes.
    now = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    began = "(extract(epoch FROM transaction_timestamp()) * 1000000)::bigint"
    # A script runs with the search path of its user, where other objects may match better than numeric * integer.
    now_in_script = (
        "(extract(epoch FROM statement_timestamp()) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8"
    )
    greatest = "GREATEST"
    lock = "FOR UPDATE OF {0}"
    lock_free = "FOR UPDATE OF {0} SKIP LOCKED"
    among = "{0} = ANY(:{1}::{2}[])"
    # A subquery is hashed. An array that is a parameter would be searched from its start for each row.
    not_among = "{0} NOT IN (SELECT unnest(:{1}::{2}[]))"

    def names(self, prefix: str) -> str:
        """Put a placeholder for the schema in front, which is filled in when a connection knows it."""
        return f"{TABLES}{prefix}"

    weighs_pages = True

    def macros(self, prefix: str) -> Mapping[str, str]:
        """Add the server's current life, and the parts of the conditions on metadata.

        `lives` are the parts of a WITH that record the current life if it is not recorded yet. They may find none, NULL, if
        another transaction records it at the same moment.
        """
        lives, started = f"{self.names(prefix)}server_life", "pg_postmaster_start_time()"
        known = f"SELECT l.id FROM {lives} l WHERE l.started_at = {started}"  # noqa: S608 - names of our own
        new = f"SELECT {started}, gen_random_uuid() WHERE NOT EXISTS (SELECT 1 FROM known_life)"  # noqa: S608 - the same
        add = f"INSERT INTO {lives} (started_at, id) {new} ON CONFLICT DO NOTHING RETURNING id"
        return {
            **super().macros(prefix),
            "lives": f"known_life AS ({known}), made_life AS ({add})",
            "life": "(SELECT id FROM known_life UNION ALL SELECT id FROM made_life)",
            "stored": f"(SELECT {_METADATA} -> :name{{{{i}}}}::text AS v OFFSET 0) AS stored",
            "text": "(v #>> ARRAY[]::text[])",
            "tag": "(v ->> '$') = '{0}'",
            "inner": "(v ->> '{0}')",
            "whole": "(v ->> '{0}') ~ '^-?[0-9]{{1,19}}$'",
            "exponent": "coalesce(nullif(split_part({0}, 'E', 2), ''), '0')::int",
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
        """Return values as a list; the statement gives their type."""
        return list(values)
