"""What the parts of the shared repository have in common, and the migrations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

from attrs import frozen

from jobmaster.clock import from_micros
from jobmaster.contracts import SchemaStore
from jobmaster.errors import LeaseLostError, SchemaError, starting
from jobmaster.models import Bucket
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.units import Answer, Query, Script, Unit

MIGRATION_TIMEOUT: Final = 600.0
"""Seconds that migrating may take: a new index on a long history is no short unit of work."""


REQUIRED: Final = ("migration_limit", "migration_lock", "migration_table")
"""Statements that every provider has to have of its own."""


@frozen
class Migration:
    """One numbered step of the schema; its text still holds the prefix as `{prefix}`."""

    version: int
    name: str
    text: str


def load_migrations(package: str, name: str = "migrations") -> list[Migration]:
    """Return the migrations in a folder of a package, named `0001_some_name.sql`, in order."""
    folder = files(package) / name
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [
        Migration(int(name[:4]), name.removesuffix(".sql"), (folder / name).read_text(encoding="utf-8"))
        for name in names
    ]


class SqlStore(SchemaStore):
    """Holds the driver that the units of work run on, and keeps the schema up to date."""

    def __init__(self, driver: SqlDriver, migrations: Sequence[Migration], prefix: str) -> None:
        """`driver` is not opened here; `prefix` starts the names of all tables."""
        self._driver = driver
        self._dialect: Dialect = driver.dialect
        self._migrations = migrations
        self._prefix = prefix

    async def open(self, *, create: bool = True) -> None:
        """Connect. Raises `StoreUnavailableError` if the database cannot be reached."""
        with starting():
            await self._driver.open(create=create)

    async def close(self) -> None:
        """Let go of every connection and thread."""
        await self._driver.close()

    async def now(self) -> datetime:
        """Return the database's clock."""
        return from_micros(await self._driver.run(self._now, read_only=True))

    def _now(self) -> Unit[int]:
        answer: Answer = yield Query("store_now", last=True)
        stored: int = answer.rows[0][0]
        return stored

    async def migrate(self) -> Sequence[str]:
        """Apply what is pending, under a lock; return the names of the migrations applied."""
        applied: Sequence[str] = ()
        if await self.pending_migrations():
            with starting():
                applied = await self._driver.run(self._migrate, time_limit=MIGRATION_TIMEOUT)
        return applied

    def _migrate(self) -> Unit[list[str]]:
        limit = Query("migration_limit", {"milliseconds": str(int(MIGRATION_TIMEOUT * 1000))})
        yield limit, Query("migration_lock", {"lock": f"{self._prefix}migration"})
        pending = yield from self._pending()
        for migration in pending:
            yield Script(self._text(migration))
            yield Query("migration_add", {"version": migration.version, "name": migration.name})
        return [migration.name for migration in pending]

    async def pending_migrations(self) -> Sequence[str]:
        """Return the names of what `migrate` would apply; raises `SchemaError` for a newer schema."""
        with starting():
            pending = await self._driver.run(self._pending, read_only=True)
        return [migration.name for migration in pending]

    def _pending(self) -> Unit[list[Migration]]:
        found: Answer = yield Query("migration_table", {"table": f"{self._prefix}migration"})
        if not found.rows:
            return list(self._migrations)
        applied: Answer = yield Query("migration_versions")
        self._check_not_newer(applied.rows)
        versions = {row[0] for row in applied.rows}
        return [migration for migration in self._migrations if migration.version not in versions]

    def _check_not_newer(self, applied: Sequence[Sequence[Any]]) -> None:
        newest = self._migrations[-1].version
        unknown = [name for version, name in applied if version > newest]
        if unknown:
            msg = (
                f"the schema {self._prefix!r} has migrations that this version does not know "
                f"({', '.join(unknown)}); upgrade JobMaster on this host"
            )
            raise SchemaError(msg)

    def _text(self, migration: Migration) -> str:
        return migration.text.replace("{prefix}", self._prefix)

    def migration_script(self) -> str:
        """Return the statements of all migrations, each followed by its entry in the migration table."""
        return "\n".join(
            f"-- {migration.name}\n{self._text(migration).strip()}\n"
            f"INSERT INTO {self._prefix}migration (version, name, applied_at)\n"
            f"VALUES ({migration.version}, '{migration.name}', {self._dialect.now_in_script});\n"
            for migration in self._migrations
        )

    def _lock_owned(self, bucket: Bucket) -> Unit[None]:
        """Lock an owned bucket's row to the end of the unit; raises `LeaseLostError` if it was taken."""
        answer: Answer = yield Query("bucket_epoch", {"id": self._dialect.uuid(bucket.id)})
        check_epoch(bucket, answer.rows)


def check_epoch(bucket: Bucket, rows: Sequence[Sequence[Any]]) -> None:
    """Raise `LeaseLostError` unless the first column of the first row is the bucket's epoch."""
    if not rows or rows[0][0] != bucket.epoch:
        raise lease_lost(bucket.id, bucket.epoch)


def lease_lost(bucket_id: UUID, epoch: int) -> LeaseLostError:
    """Return the error for a bucket that is no longer the caller's."""
    return LeaseLostError(f"bucket {bucket_id} is no longer owned at epoch {epoch}")
