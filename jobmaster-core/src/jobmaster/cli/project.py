"""`[tool.jobmaster]` of a `pyproject.toml`: which cluster a folder's commands are about."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from jobmaster._setup.fileconfig import check_known
from jobmaster.errors import ConfigurationError
from jobmaster.urls import said

FILE: Final = "pyproject.toml"
TABLE: Final = "tool.jobmaster"
_KEYS: Final = ("app", "config")


@frozen
class Project:
    """What a project says of its cluster: one of the two."""

    file: Path
    app: str | None = None
    config: Path | None = None

    @property
    def folder(self) -> Path:
        """Where its modules are looked for."""
        return self.file.parent


def find_project(start: Path) -> Project | None:
    """Return the project of a folder: the nearest one, upwards, whose `pyproject.toml` has the table.

    Raises `ConfigurationError` for a file that cannot be read or is somebody else's, and for a table that says
    something else.
    """
    for folder in (start, *start.parents):
        file = folder / FILE
        if file.is_file() and (table := _table(file)) is not None:
            _check_owner(file)
            return _project(file, table)
    return None


def _check_owner(file: Path) -> None:
    """Raise if a file that nobody named, or a link in its place, is neither this user's nor root's: it says what is run."""
    if not hasattr(os, "geteuid") or {file.stat().st_uid, file.lstat().st_uid} <= {0, os.geteuid()}:
        return
    msg = (
        f"{file}: it belongs to another user, and says which code this command would run; name the cluster with "
        "--app if you trust it, or make the file yours"
    )
    raise ConfigurationError(msg)


def _table(file: Path) -> Mapping[str, Any] | None:
    try:
        whole = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{file}: it cannot be read: {error}; fix it, or name the cluster with --app"
        raise ConfigurationError(msg) from error
    tools = whole.get("tool", {})
    return tools.get("jobmaster") if isinstance(tools, Mapping) else None


def _project(file: Path, table: Any) -> Project:
    where = f"{file}: {TABLE}"
    if not isinstance(table, Mapping):
        msg = f'{where}: it is not a table; write [{TABLE}] and below it app = "module:attribute"'
        raise ConfigurationError(msg)
    for key in table:
        check_known(f"{where}: there is no key {said(key)}", key, _KEYS)
    given = {key: value for key, value in table.items() if value}
    if wrong := [key for key, value in given.items() if not isinstance(value, str)]:
        msg = f"{where}: {wrong[0]}: {said(given[wrong[0]])} is not a string"
        raise ConfigurationError(msg)
    if len(given) != 1:
        msg = f'{where}: give one of app = "module:attribute" and config = "FILE"'
        raise ConfigurationError(msg)
    config = given.get("config")
    return Project(file, given.get("app"), file.parent / config if config else None)
