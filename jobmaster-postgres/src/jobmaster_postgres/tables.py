"""The schema of a repository on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.schema import named
from jobmaster_sql import Migration, SqlSchema


class PostgresSchema(SqlSchema):
    """The tables of a repository, in the schema that the URL names or the connection's path decides."""

    def __init__(
        self, driver: PostgresDriver, migrations: Sequence[Migration], prefix: str, schema: str | None
    ) -> None:
        """`prefix` starts the names of all tables; `schema` is the one that the URL names, if it does."""
        super().__init__(driver, migrations, prefix)
        self._schema = schema

    def script(self) -> str:
        """Return the statements of all migrations. Names have the URL's schema, if it has one."""
        return named(super().script(), self._schema)
