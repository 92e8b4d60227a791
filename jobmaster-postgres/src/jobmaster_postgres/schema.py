"""The schema of the tables, and statements that name it.

Our statements run with a search path that contains no schema in which others may create objects: only `pg_catalog` and,
after it, the session's temporary objects. So objects of others are never found, however well their operators would match,
and tables get their schema in one place: here. If the URL does not name the schema, the connection's original path decides.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from jobmaster.errors import SchemaError

log = logging.getLogger("jobmaster.postgres")

SAFE_PATH: Final = "pg_catalog, pg_temp"
"""Without this name, `pg_temp` would come first."""

TABLES: Final = "@schema@."
"""Placeholder in statements before each of our names, until the schema is known."""
NAME: Final = "@schema_name@"
"""Placeholder in statements for the schema's name as a text."""

DEFAULT: Final = "SET LOCAL search_path TO DEFAULT"
"""Resets the path to that of the session's role and options, for one transaction."""
PATH: Final = "SELECT pg_catalog.current_schemas(false)::pg_catalog.text[]"
"""The schemas on the path that exist and may be used, in order. Must run before the path is set."""

_FIND: Final = """
    SELECT n.nspname::text, c.relowner::regrole::text,
      c.relowner IN (n.nspowner, d.datdba, u.oid) OR o.rolsuper
        OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = c.relowner AND m.member = u.oid),
      EXISTS (
        SELECT FROM aclexplode(COALESCE(n.nspacl, acldefault('n', n.nspowner))) AS a
        WHERE a.grantee = 0 AND a.privilege_type = 'CREATE'
      )
    FROM unnest(%s::text[]) WITH ORDINALITY AS p (name, place)
    JOIN pg_namespace n ON n.nspname = p.name::name
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = %s::name
    JOIN pg_roles o ON o.oid = c.relowner
    JOIN pg_roles u ON u.rolname = current_user
    JOIN pg_database d ON d.datname = current_database()
    ORDER BY p.place
"""


def named(text: str, schema: str | None) -> str:
    """Return a statement with the tables' schema filled in; without one, tables are looked up on the path."""
    if schema is None:
        return text.replace(TABLES, "").replace(NAME, "pg_catalog.current_schema()")
    identifier, literal = schema.replace('"', '""'), schema.replace("'", "''")
    return text.replace(TABLES, f'"{identifier}".').replace(NAME, f"'{literal}'")


def no_schema(schema: str, place: object) -> SchemaError:
    """Return the error for a missing schema: otherwise it would look as if only migrations were pending."""
    return SchemaError(
        f"{place}: there is no schema {schema!r}; create it (CREATE SCHEMA …), or correct `schema` in the URL"
    )


class Finder:
    """Finds the schema on a connection's path that contains a table; of several, the first that a stranger does not own.

    A stranger is a table owner that owns neither the schema nor the database, is not a superuser, and is neither this user
    nor a group of this user.
    """

    def __init__(self, table: str, place: object) -> None:
        """`table` is a table that always exists; `place` names the database in messages."""
        self._table, self._place = table, place
        self.schema: str | None = None
        """The schema of the tables, or the schema in which they are to be created."""
        self.is_certain = False
        """Whether the tables exist."""

    async def learn(self, native: psycopg.AsyncConnection[Any], path: Sequence[str]) -> None:
        """Look for the tables in the schemas of a path, over a connection whose own path is safe.

        Raises `SchemaError` if the path contains no schema.
        """
        if self.is_certain:
            return
        if not path:
            msg = (
                f"{self._place}: no schema of the user's search_path exists; create one, or name another with "
                "`schema` in the URL"
            )
            raise SchemaError(msg)
        cursor = await native.execute(_FIND, (list(path), self._table))
        found = await cursor.fetchall()
        if not found:
            self.schema = path[0]
            return
        self.schema, owner, is_ours, is_open = next((row for row in found if row[2]), found[0])
        self.is_certain = True
        if not is_ours and is_open:
            self._warn(self.schema, owner)

    def _warn(self, schema: str, owner: str) -> None:
        log.warning(
            "%s: the tables in the schema %r belong to %s, and every user may create tables there; if you mean other "
            "tables, name their schema with `schema` in the URL, and REVOKE CREATE ON that SCHEMA FROM PUBLIC",
            self._place,
            schema,
            owner,
        )
