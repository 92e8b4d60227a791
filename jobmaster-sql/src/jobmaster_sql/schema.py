"""The schema of a repository, and its migrations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from jobmaster.contracts import SchemaStore
from jobmaster.errors import starting
from jobmaster.version import __version__
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.migrations import Limit, Migration, check_ours, check_served, is_other
from jobmaster_sql.units import Answer, Query, Script, Unit

MIGRATION_TIMEOUT: Final = 600.0
"""Seconds that migrating may take: a new index on a long history is not a short unit of work."""


LOCK_PATIENCE: Final = 2.0
"""Seconds that a migration waits for a lock before it releases all its locks and starts again: later statements on the table
wait behind it, and those of running processes cannot wait as long as a dump may take."""


_WITHOUT_SCHEMA: Final = re.compile(r"(CREATE (?:UNIQUE )?INDEX |^--[^{\n]*)\{prefix\}", re.MULTILINE)
"""Where a name has no schema: an index is created in its table's schema, and comments must not contain arbitrary
characters."""


AGENTS: Final = "agent_"
"""What comes after the prefix in the names of an agent's tables."""


SECOND: Final = "$"
"""A character that names may contain in every database, but prefixes may not."""


REQUIRED: Final = ("migration_limit", "migration_lock", "migration_table")
"""Statements that every provider has to define itself."""


@frozen
class SchemaState:
    """The migrations to be applied to a schema, and the names of those that newer code applied and that serve this code."""

    pending: Sequence[Migration]
    newer: Sequence[str]


class SqlSchema(SchemaStore):
    """The tables of a repository: where they are, and the migrations that bring them up to date."""

    def __init__(self, driver: SqlDriver, migrations: Sequence[Migration], prefix: str) -> None:
        """`driver` is not opened here; `prefix` starts the names of all tables."""
        self._driver = driver
        self._dialect: Dialect = driver.dialect
        self._migrations = migrations
        self._given = self._prefix = prefix
        self._names = driver.dialect.names(prefix)

    async def find(self) -> None:
        """Find the tables once the driver is open.

        The names of a master's tables may begin like those of an agent with a shorter prefix. The store that was
        created second has a mark behind its prefix, which a configured prefix cannot contain.
        """
        if not self._given.endswith(AGENTS):
            return
        vacant: str | None = None
        for prefix in (self._given, f"{self._given}{SECOND}"):
            self._use(prefix)
            versions = await self._driver.look(self._versions)
            if versions is None:
                vacant = vacant or prefix
            elif not is_other(self._migrations, versions):
                return
        self._use(vacant or self._given)

    def _use(self, prefix: str) -> None:
        if prefix != self._prefix:
            self._driver.rename_tables(self._prefix, prefix)
            self._prefix, self._names = prefix, self._dialect.names(prefix)

    async def migrate(self) -> Sequence[str]:
        """Apply pending migrations under a lock; return their names."""
        applied: Sequence[str] = ()
        if await self.pending():
            with starting():
                applied = await self._driver.run(self._migrate, time_limit=MIGRATION_TIMEOUT)
        return applied

    def _migrate(self) -> Unit[list[str]]:
        limit = Query("migration_limit", {"milliseconds": str(int(MIGRATION_TIMEOUT * 1000))})
        yield limit, Query("migration_lock", {"lock": f"{self._prefix}migration"})
        yield Query("migration_patience", {"milliseconds": str(int(LOCK_PATIENCE * 1000))})
        pending = (yield from self._state()).pending
        for migration in pending:
            yield from self._apply(migration)
        return [migration.name for migration in pending]

    def _apply(self, migration: Migration) -> Unit[None]:
        version = migration.version
        yield Script(self._text(migration))
        yield Query("migration_add", {"version": version, "name": migration.name})
        if migration.serves is not None:
            limit = {"version": version, "oldest": migration.serves, "jobmaster": __version__}
            yield Query("migration_serves_add", limit)

    async def pending(self) -> Sequence[str]:
        """Return the names that `migrate` would return; raises `SchemaError` for a schema too new for this code."""
        return [migration.name for migration in (await self._read_state()).pending]

    async def newer(self) -> Sequence[str]:
        """Return the names of migrations that newer code applied; raises `SchemaError` if one does not serve this code."""
        return (await self._read_state()).newer

    async def _read_state(self) -> SchemaState:
        with starting():
            return await self._driver.run(self._state, read_only=True)

    def _state(self) -> Unit[SchemaState]:
        """Return how the schema compares with what this code knows."""
        versions = yield from self._versions()
        if versions is None:
            return SchemaState(list(self._migrations), [])
        check_ours(self._prefix, self._migrations, versions)
        newer = {version: name for version, name in versions.items() if version > self._newest}
        if newer:
            check_served(self._prefix, self._migrations, newer, (yield from self._limits()))
        pending = [migration for migration in self._migrations if migration.version not in versions]
        return SchemaState(pending, list(newer.values()))

    def _versions(self) -> Unit[dict[int, str] | None]:
        """Return the names of the applied migrations by number, or None if there are no tables."""
        if not (yield from self._has_table("migration")):
            return None
        applied: Answer = yield Query("migration_versions")
        return dict(applied.rows)

    def _limits(self) -> Unit[dict[int, Limit]]:
        """Return what the schema records about migrations that this code does not know."""
        if not (yield from self._has_table("migration_serves")):
            return {}
        found: Answer = yield Query("migration_serves", {"newest": self._newest})
        return {version: Limit(oldest, release) for version, oldest, release in found.rows}

    def _has_table(self, name: str) -> Unit[bool]:
        found: Answer = yield Query("migration_table", {"table": f"{self._prefix}{name}"})
        return bool(found.rows)

    @property
    def _newest(self) -> int:
        return self._migrations[-1].version

    def _text(self, migration: Migration) -> str:
        text = _WITHOUT_SCHEMA.sub(rf"\g<1>{self._prefix}", migration.text)
        return text.replace("{prefix}", self._names)

    def script(self) -> str:
        """Return the statements of all migrations, each followed by its entries in the migration tables."""
        return "\n".join(
            f"-- {migration.name}\n{self._text(migration).strip()}\n"
            f"INSERT INTO {self._names}migration (version, name, applied_at)\n"
            f"VALUES ({migration.version}, '{migration.name}', {self._dialect.now_in_script});\n"
            f"{self._limit_in_script(migration)}"
            for migration in self._migrations
        )

    def _limit_in_script(self, migration: Migration) -> str:
        if migration.serves is None:
            return ""
        return (
            f"INSERT INTO {self._names}migration_serves (version, oldest, jobmaster)\n"
            f"VALUES ({migration.version}, {migration.serves}, '{__version__}');\n"
        )
