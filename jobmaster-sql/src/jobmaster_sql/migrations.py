"""The numbered migrations of a schema, and which code runs on a schema that is newer than the code itself.

Code is as new as the newest migration it knows. A file's first line, `-- serves: 8`, names the oldest code that runs on a
schema with this migration: here, code whose newest migration is number 8. A migration that only adds serves the previous
release, so that a rollout can migrate first and deploy afterwards, and roll back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Final

from attrs import frozen

from jobmaster.errors import SchemaError
from jobmaster.version import __version__

OTHER_SCHEMA: Final = (
    "run `jobmaster migrate`, or leave auto_migrate on; "
    "if a newer release has changed the schema, deploy it here"
)
"""The remedy for a missing table or column."""

OTHER_PREFIX: Final = (
    "Choose another table_prefix, or another database: a prefix that continues like the name of a table or an index clashes "
    "with the shorter prefix"
)
"""The remedy for a name that is taken."""

_SERVES: Final = re.compile(r"-- serves: (\d+)\n")


@frozen
class Migration:
    """One numbered step of the schema; its text contains the prefix as `{prefix}`.

    `serves` is the newest migration known to the oldest code that it serves. It is None for migrations from before this
    declaration existed: code of that time refuses every newer schema.
    """

    version: int
    name: str
    text: str
    serves: int | None = None


@frozen
class Limit:
    """What a schema records about a migration: the oldest code that it serves, and the release that it came with."""

    oldest: int
    release: str


def load_migrations(package: str, name: str = "migrations") -> list[Migration]:
    """Return the migrations in a folder of a package, named `0001_some_name.sql`, in order.

    Raises `LookupError` for one that does not declare what it serves although an earlier one does.
    """
    folder = files(package) / name
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    migrations = [_migration(name, (folder / name).read_text(encoding="utf-8")) for name in names]
    check_serves(migrations)
    return migrations


def _migration(name: str, text: str) -> Migration:
    version, said = int(name[:4]), _SERVES.match(text)
    return Migration(version, name.removesuffix(".sql"), text, int(said[1]) if said else None)


def check_serves(migrations: Iterable[Migration]) -> None:
    """Raise `LookupError` for the first migration that has to declare in its first line what it serves, and does not."""
    has_said = False
    for migration in migrations:
        has_said |= migration.serves is not None
        if has_said and (migration.serves is None or migration.serves > migration.version):
            msg = (
                f"migration {migration.name} does not say which code it serves: its first line must be '-- serves: N', "
                "where N is the newest migration known to the oldest code that can run on it, or its own number if none can"
            )
            raise LookupError(msg)


def is_other(known: Sequence[Migration], applied: Mapping[int, str]) -> bool:
    """Return whether the tables belong to something else: some applied migration has another name."""
    return any(applied.get(each.version, each.name) != each.name for each in known)


def check_ours(prefix: str, known: Sequence[Migration], applied: Mapping[int, str]) -> None:
    """Raise `SchemaError` if the tables with this prefix belong to something else."""
    if is_other(known, applied):
        names = ", ".join(applied[version] for version in sorted(applied))
        raise SchemaError(
            f"the tables here that begin with {prefix!r} belong to another program, with the migrations {names}. "
            f"{OTHER_PREFIX}"
        )


def check_served(
    prefix: str, known: Sequence[Migration], newer: Mapping[int, str], limits: Mapping[int, Limit]
) -> None:
    """Raise `SchemaError` if a schema has migrations that do not serve this code.

    `known` are this code's migrations, `newer` the names of others by number, and `limits` what the schema records about
    those. A migration without a limit, such as one that was added by hand, serves all code.
    """
    newest = known[-1]
    barring = {
        version: limit
        for version, limit in sorted(limits.items())
        if version in newer and limit.oldest > newest.version
    }
    if not barring:
        return
    names = ", ".join(newer[version] for version in barring)
    oldest = max(limit.oldest for limit in barring.values())
    releases = list(dict.fromkeys(limit.release for limit in barring.values()))
    msg = (
        f"the schema {prefix!r} is too new for JobMaster {__version__}, which knows it up to {newest.name}: "
        f"{names} (of JobMaster {', '.join(releases)}) serves code that knows it up to number {oldest} or further; "
        f"deploy JobMaster {releases[-1]} here, or a release between the two that knows number {oldest}"
    )
    raise SchemaError(msg)
