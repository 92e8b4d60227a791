"""Building a cluster from a TOML or JSON file, a mapping, and environment variables.

| key        | what it holds                                                                     |
|------------|-----------------------------------------------------------------------------------|
| `cluster`  | the cluster's id                                                                  |
| `master`   | URL of the cluster database                                                       |
| `mode`     | initial mode of a cluster that is new to its master: `active`, `passive`, …       |
| `settings` | names of `jobmaster.config.Settings`, except `retry`                              |
| `agents`   | a list of `jobmaster.config.AgentSettings`: `name`, `url`, …                       |
| `workers`  | a list of `jobmaster.config.WorkerSettings`; `buckets` by priority: `{high = 2}`  |
| `move_to` | a table of `jobmaster.config.targets.MoveTarget`: `url`, `cluster_id`, …                  |
| `archive_to` | a table of `jobmaster.config.targets.ArchiveTarget`: `url`, `cluster_id`                  |
| `imports`  | modules to import, so that their handlers are registered                          |

A duration is a number of seconds or a text such as `"30s"` (units: ms, s, m, h, d); `"none"` means no limit where a
setting allows it. Relative paths in URLs are relative to the file's folder; those of a mapping and of the environment
to the working directory. Environment variables override the file: `JOBMASTER_CLUSTER`, `JOBMASTER_MASTER`, and
`JOBMASTER_<SETTING>` for each setting.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from attrs import fields, fields_dict

from jobmaster._process.importing import import_named, look_in
from jobmaster._time.relative import urls_beside
from jobmaster.config import Settings
from jobmaster.config.targets import ARCHIVE_TO, MOVE_TO, ArchiveTarget, MoveTarget
from jobmaster.errors import ConfigurationError
from jobmaster.states import ClusterMode, Priority, WorkerMode
from jobmaster.urls import HIDDEN, may_be_url, said, said_secret

if TYPE_CHECKING:
    from jobmaster.cluster import Cluster

log = logging.getLogger("jobmaster.config")

PREFIX = "JOBMASTER_"
"""The prefix of the names of environment variables."""

_KEYS = ("cluster", "master", "mode", "settings", "agents", "workers", "move_to", "archive_to", "imports")
_SETTINGS = tuple(attribute.name for attribute in fields(Settings) if attribute.name != "retry")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def build_cluster(
    cls: type[Cluster],
    config: Mapping[str, Any] | str | Path,
    environ: Mapping[str, str] | None = None,
    folders: Sequence[Path] = (),
) -> Cluster:
    """Return the cluster that a configuration describes; nothing runs yet.

    Args:
        cls: the class to build, `Cluster` or one derived from it.
        config: a mapping, or the path of a `.toml` or `.json` file.
        environ: environment variables; by default those of the process.
        folders: where to look for `imports` that are not found otherwise.

    Raises:
        ConfigurationError: the file cannot be read, or a value is wrong; names file, key and remedy.

    """
    environ = os.environ if environ is None else environ
    where, values = _read(config)
    _check_keys(where, values)
    cluster = _new_cluster(cls, where, values, environ)
    _apply_settings(cluster, where, values.get("settings", {}), environ)
    for place, agent in _tables(where, "agents", values.get("agents", [])):
        with _naming(place):
            cluster.add_agent(*_name_and_url(agent), **_but(agent, "name", "url"))
    for place, worker in _tables(where, "workers", values.get("workers", [])):
        with _naming(place):
            cluster.add_worker(**_worker_settings(worker))
    _set_targets(cluster, where, values)
    for name in _names(f"{where}: imports", values.get("imports", [])):
        look_in(name, folders)
        import_named(f"{where}: imports", name)
    return cluster


# Reading


def _read(config: Mapping[str, Any] | str | Path) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the configuration for messages, and its values."""
    if isinstance(config, Mapping):
        return "configuration", config
    if not isinstance(config, str | Path):
        msg = f"{said(config)} is not a configuration; give a mapping, or the path of a .toml or .json file"
        raise ConfigurationError(msg)
    if may_be_url(str(config)) and not Path(config).exists():
        msg = f"expected the path of a configuration file, not a URL {HIDDEN}; in a mapping, the URL goes under 'master'"
        raise ConfigurationError(msg)
    path = Path(config)
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        msg = f"{path}: a configuration file is TOML or JSON, and its name ends in .toml or .json"
        raise ConfigurationError(msg)
    values = _parsed(path, parse)
    if not isinstance(values, Mapping):
        msg = f"{path}: it holds a {type(values).__name__}, not an object with the keys {', '.join(_KEYS)}"
        raise ConfigurationError(msg)
    return str(path), urls_beside(values, path.absolute().parent)


_PARSERS: Mapping[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}


def _parsed(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: the configuration file cannot be read ({error.strerror}); check the path"
        raise ConfigurationError(msg) from error
    except ValueError as error:
        msg = f"{path}: this is not valid {path.suffix[1:].upper()}: {_syntax_fault(error)}"
    # Not chained: a decoder's error carries the whole text.
    raise ConfigurationError(msg)


def _syntax_fault(error: ValueError) -> str:
    """Return a parser's message, unless it quotes the file: that may contain a URL."""
    if isinstance(error, UnicodeError):
        return (
            f"byte {error.start} is not UTF-8" if isinstance(error, UnicodeDecodeError) else "it is not UTF-8"
        )
    text = str(error)
    return text if not may_be_url(text) else f"a parser's message {HIDDEN}"


def _check_keys(where: str, values: Mapping[str, Any]) -> None:
    for key in values:
        if key in _SETTINGS:
            msg = f"{where}: {key!r} is a setting; put it under settings"
            raise ConfigurationError(msg)
        check_known(f"{where}: there is no key {said(key)}", key, _KEYS)


def check_known(problem: str, name: str, known: Iterable[str]) -> None:
    """Raise `ConfigurationError` unless `name` is among `known`: the problem, and the closest match."""
    names = sorted(str(one) for one in known)
    if name in names:
        return
    guess = get_close_matches(name, names, n=1)
    hint = f"; did you mean {guess[0]!r}?" if guess else f" (available: {', '.join(names)})"
    raise ConfigurationError(problem + hint)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say in a `ConfigurationError` where the value came from."""
    try:
        yield
    except ConfigurationError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error


# The cluster itself


def _new_cluster(
    cls: type[Cluster], where: str, values: Mapping[str, Any], environ: Mapping[str, str]
) -> Cluster:
    cluster_id = _needed("cluster", where, values, environ)
    master = _needed("master", where, values, environ)
    mode = _member(f"{where}: mode", values.get("mode", ClusterMode.ACTIVE), ClusterMode)
    with _naming(where):
        return cls(cluster_id, master, mode=mode)


def _needed(key: str, where: str, values: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    variable = PREFIX + key.upper()
    value = environ.get(variable) or values.get(key)
    if value is None:
        msg = f"{where}: {key!r} is missing; add it, or set {variable}"
        raise ConfigurationError(msg)
    if not isinstance(value, str):
        msg = f"{where}: {key} is {said_secret(value)}; give a string"
        raise ConfigurationError(msg)
    return value


def _member(where: str, value: Any, enum: type[ClusterMode | WorkerMode]) -> Any:
    check_known(f"{where}: {said(value)} is not a mode", str(value), list(enum))
    return enum(value)


# Settings


def _apply_settings(cluster: Cluster, where: str, given: Any, environ: Mapping[str, str]) -> None:
    """Apply the settings of the file and the environment; an error names where the value came from."""
    where = f"{where}: settings"
    from_file = _file_settings(where, given)
    from_environment = _environment_settings(environ)
    try:
        cluster.configure(**from_file | from_environment)
    except ConfigurationError as error:
        name = str(error).partition(":")[0]
        origin = PREFIX + name.upper() if name in from_environment else where
        msg = f"{origin}: {error}"
        raise ConfigurationError(msg) from error


def _file_settings(where: str, given: Any) -> dict[str, Any]:
    _check_table(where, given)
    for name in given:
        if name == "retry":
            msg = f"{where}: retry is a policy object; set it in code: Cluster.configure(retry=...)"
            raise ConfigurationError(msg)
        check_known(f"{where}: there is no setting {said(name)}", name, _SETTINGS)
    return {name: _setting(f"{where}: {name}", name, value) for name, value in given.items()}


def _environment_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or not text:
            continue
        if name in _SETTINGS:
            given[name] = _setting(variable, name, _from_text(variable, name, text))
        elif guess := get_close_matches(name, _SETTINGS, n=1, cutoff=0.8):
            log.warning("%s is ignored; did you mean %s%s?", variable, PREFIX, guess[0].upper())
    return given


def setting_from_text(where: str, name: str, text: str) -> Any:
    """Return the value of a setting that is written as text, such as `30s`; `where` names it in messages.

    Raises `ConfigurationError` for a text that is not such a value.
    """
    return _setting(where, name, _from_text(where, name, text))


def _kind(hint: Any) -> tuple[type[Any], bool]:
    """Return the type that an annotation names, and whether it allows None."""
    if isinstance(hint, UnionType):
        return get_args(hint)[0], True
    return get_origin(hint) or hint, False


_KINDS = {name: _kind(get_type_hints(Settings)[name]) for name in _SETTINGS}


def is_duration(name: str) -> bool:
    """Whether a setting is a number of seconds. Settings of newer releases, unknown to this one, are not."""
    return name in _KINDS and _KINDS[name][0] is float


def _setting(where: str, name: str, value: Any) -> Any:
    """Return a setting's value; numbers with a fraction are durations. Ranges are for `Settings` to check."""
    kind, optional = _KINDS[name]
    if kind is float:
        return _duration(where, value, optional=optional)
    if kind is bool and not isinstance(value, bool):
        msg = f"{where}: {said(value)} is neither true nor false"
        raise ConfigurationError(msg)
    if issubclass(kind, Mapping) and not isinstance(value, Mapping):
        msg = f"{where}: {said_secret(value)} is not a table of names and values"
        raise ConfigurationError(msg)
    return value


def _from_text(variable: str, name: str, text: str) -> Any:
    """Return the value that the text of an environment variable means; durations and strings stay text."""
    kind, _ = _KINDS[name]
    if kind is bool:
        return _WORDS.get(text.strip().lower(), text)
    if kind is int or issubclass(kind, Mapping):
        with suppress(ValueError):
            return json.loads(text)
        # Not chained: a parser's error carries the whole text.
        wanted = (
            f"{said(text)} is not a whole number"
            if kind is int
            else f"the text {HIDDEN} is not a JSON object"
        )
        msg = f"{variable}: {wanted}"
        raise ConfigurationError(msg)
    return text


def _duration(where: str, value: Any, *, optional: bool) -> float | None:
    """Return seconds; raises `ConfigurationError` for an invalid duration."""
    if optional and (value is None or (isinstance(value, str) and value.strip().lower() == "none")):
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        more = ', or "none" for no limit' if optional else ""
        msg = f'{where}: {said(value)} is not a duration; give seconds, or a text such as "30s", "5m", "2h", "30d"{more}'
        raise ConfigurationError(msg)
    return float(found[1]) * _UNITS[found[2]]


def _check_table(where: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        msg = f"{where}: {said(value)} is not a table of names and values"
        raise ConfigurationError(msg)


# Agents and workers


def _tables(where: str, key: str, given: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables of a list, each with its name for messages."""
    if not isinstance(given, list | tuple):
        msg = f"{where}: {key} is a list; in TOML each one starts with [[{key}]]"
        raise ConfigurationError(msg)
    for number, table in enumerate(given, 1):
        place = f"{where}: {key}[{number}]"
        _check_table(place, table)
        yield place, table


def _name_and_url(agent: Mapping[str, Any]) -> tuple[Any, Any]:
    for key in ("name", "url"):
        if key not in agent:
            msg = f"{key!r} is missing; an agent has a name and a url"
            raise ConfigurationError(msg)
    return agent["name"], agent["url"]


def _but(table: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in names}


def _worker_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    settings = dict(given)
    if "mode" in settings:
        settings["mode"] = _member("mode", settings["mode"], WorkerMode)
    if "buckets" in settings:
        _check_table("buckets", settings["buckets"])
        settings["buckets"] = {priority_named("buckets", name): n for name, n in settings["buckets"].items()}
    return settings


def priority_named(where: str, name: str | Priority) -> Priority:
    """Return the priority of a name such as `very_low`; raises `ConfigurationError` for another one."""
    if isinstance(name, Priority):
        return name
    wanted = name.strip().lower().replace("-", "_")
    check_known(f"{where}: {said(name)} is not a priority", wanted, [one.name.lower() for one in Priority])
    return Priority[wanted.upper()]


# Targets


def _set_targets(cluster: Cluster, where: str, values: Mapping[str, Any]) -> None:
    """Set where the cluster moves to, and where its history moves to."""
    targets: Mapping[str, tuple[type[Any], Callable[..., Cluster]]] = {
        MOVE_TO: (MoveTarget, cluster.move_to),
        ARCHIVE_TO: (ArchiveTarget, cluster.archive_to),
    }
    for key, (kind, set_target) in targets.items():
        if key in values:
            place, table = f"{where}: {key}", values[key]
            _check_table(place, table)
            for name in table:
                check_known(f"{place}: there is no setting {said(name)}", name, fields_dict(kind))
            if "url" not in table:
                msg = f"{place}: 'url' is missing; it says which database to move to"
                raise ConfigurationError(msg)
            with _naming(where):
                set_target(**table)


# Importing


def _names(where: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        msg = f"{where}: {said(value)} is not a list of module names"
        raise ConfigurationError(msg)
    if any(may_be_url(name) for name in value):
        msg = f"{where}: a URL {HIDDEN} is not the name of a module"
        raise ConfigurationError(msg)
    return list(value)


__all__ = ["PREFIX", "build_cluster", "check_known", "priority_named"]
