"""In which schema the tables are, and statements that name it.

No schema that somebody else may create in is on the path that our statements are read by: that is `pg_catalog` and, after
it, what the session itself made for a while. So nothing of others is ever found, however well an operator of theirs would
match, and there is one place where tables get their schema: here. Which one it is, the path decides that the connection
comes with, if the URL does not say.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from jobmaster.errors import SchemaError

log = logging.getLogger("jobmaster.postgres")

SAFE_PATH: Final = "pg_catalog, pg_temp"
"""Without its name, `pg_temp` would come first."""

TABLES: Final = "@schema@."
"""Stands in statements before each name of ours, until the schema is known."""
NAME: Final = "@schema_name@"
"""Stands in statements for the schema's name as a text."""

DEFAULT: Final = "SET search_path TO DEFAULT"
LOCAL_DEFAULT: Final = "SET LOCAL search_path TO DEFAULT"
"""What makes a session's path that of its role and its options again; the second, for one transaction."""
PATH: Final = "SELECT pg_catalog.current_schemas(false)::pg_catalog.text[]"
"""The schemas on the path that are there and may be used, in order. To be asked before the path is set."""

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
    """Return a statement with the tables' schema in all its places; without one, they are looked for on the path."""
    if schema is None:
        return text.replace(TABLES, "").replace(NAME, "pg_catalog.current_schema()")
    identifier, literal = schema.replace('"', '""'), schema.replace("'", "''")
    return text.replace(TABLES, f'"{identifier}".').replace(NAME, f"'{literal}'")


def no_schema(schema: str, place: object) -> SchemaError:
    """Return the error for a schema that is not there: it would look as if only migrations were due."""
    return SchemaError(
        f"{place}: there is no schema {schema!r}; create it (CREATE SCHEMA …), or correct `schema` in the URL"
    )


class Finder:
    """Finds the schema on a connection's path in which a table is; of several, the first that is not a stranger's.

    A stranger is who owns neither the schema nor the database, is no superuser, and is neither this user nor a group of its.
    """

    def __init__(self, table: str, place: object) -> None:
        """`table` is one that is always there; `place` names the database in messages."""
        self._table, self._place = table, place
        self.schema: str | None = None
        """Where the tables are, or else where they are to be made."""
        self.is_certain = False
        """Whether they are there."""

    async def learn(self, native: psycopg.AsyncConnection[Any], path: Sequence[str]) -> None:
        """Look for the tables in the schemas of a path, over a connection whose own path is safe.

        Raises `SchemaError` if there is no schema on the path at all.
        """
        if self.is_certain:
            return
        if not path:
            msg = (
                f"{self._place}: no schema of the user's search_path is there; create one, or name another by "
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
            "%s: the tables in the schema %r belong to %s, and everybody may create some there; if they are not meant, "
            "name the right schema by `schema` in the URL, and REVOKE CREATE ON that SCHEMA FROM PUBLIC",
            self._place,
            schema,
            owner,
        )
