"""Importing the cluster that `module:attribute` names."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from jobmaster._process.importing import failing_at, import_named, is_found, look_in, passed_over
from jobmaster.cli.output import print_note
from jobmaster.cluster import Cluster
from jobmaster.errors import ConfigurationError
from jobmaster.urls import HIDDEN, may_be_url


def load_cluster(app: str, folders: Sequence[Path] = ()) -> Cluster:
    """Return the cluster that `module:attribute` names: a `Cluster`, or a function that returns one.

    The module is looked for in `folders` if Python finds it nowhere else. Raises `ConfigurationError` that says which
    part is wrong, with a suggestion.
    """
    if may_be_url(app):
        msg = f"app: write it as module:attribute, for example myapp:cluster; a URL {HIDDEN} goes to --master"
        raise ConfigurationError(msg)
    module_name, colon, attribute = app.partition(":")
    if module_name.endswith(".py") or "/" in module_name or "\\" in module_name:
        meant = ".".join(Path(module_name).with_suffix("").parts).lstrip(".")
        msg = f"app {app!r}: name the module, not its file: {meant}:{attribute or 'cluster'}"
        raise ConfigurationError(msg)
    if not colon or not module_name or not attribute:
        msg = f"app {app!r}: write it as module:attribute, for example {module_name or 'myapp'}:cluster"
        raise ConfigurationError(msg)
    look_in(module_name, folders)
    if found := passed_over(module_name, folders):
        print_note(
            f"app {app!r}: Python imports {found[0]}, not {found[1]}; set PYTHONPATH=. to import that one"
        )
    _check_exists(app, module_name)
    module = import_named(f"app {app!r}", module_name)
    return _as_cluster(app, module, _attribute(app, module, attribute))


# The module


def _check_exists(app: str, name: str) -> None:
    """Raise if a module is missing, with what is there instead."""
    parent, _, last = name.rpartition(".")
    if parent:
        _check_exists(app, parent)
        places: Sequence[str] | None = list(getattr(import_named(f"app {app!r}", parent), "__path__", ()))
    else:
        places = None
    if is_found(name):
        return
    where = f"in package {parent!r}" if parent else f"in {Path.cwd()} or on the Python path of {sys.prefix}"
    found = (module.name for module in pkgutil.iter_modules(places or [str(Path.cwd())]))
    msg = f"app {app!r}: there is no module {last!r} {where}{_guess(last, found)}"
    raise ConfigurationError(msg)


def _guess(name: str, known: Iterable[str]) -> str:
    guess = get_close_matches(name, list(known), n=1)
    return f"; did you mean {guess[0]!r}?" if guess else ""


# The attribute


def _attribute(app: str, module: ModuleType, path: str) -> Any:
    try:
        return reduce(getattr, path.split("."), module)
    except AttributeError:
        file = getattr(module, "__file__", None)
        is_elsewhere = file is not None and not Path(file).is_relative_to(
            Path.cwd()
        )  # as one of Python's own
        where = f" ({file})" if is_elsewhere else ""
        hint = _guess(path, _callable(module)) or _offered(module)
        msg = f"app {app!r}: module {module.__name__!r}{where} has no attribute {path!r}{hint}"
        raise ConfigurationError(msg) from None


def _clusters(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, Cluster)]


def _callable(module: ModuleType) -> list[str]:
    """Return the names that an app can have: those of clusters, and of functions that the module defines itself."""
    made = (
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    )
    return [*_clusters(module), *made]


def _offered(module: ModuleType) -> str:
    clusters = _clusters(module)
    return f"; its clusters are: {', '.join(clusters)}" if clusters else "; it defines no cluster"


def _as_cluster(app: str, module: ModuleType, found: Any) -> Cluster:
    if isinstance(found, Cluster):
        return found
    if not callable(found) or (isinstance(found, type) and not issubclass(found, Cluster)):
        msg = f"app {app!r} is of type {type(found).__name__}; name a Cluster, or a function that returns one"
        raise ConfigurationError(msg + (_offered(module) if _clusters(module) else ""))
    _check_takes_nothing(app, found)
    with failing_at(f"app {app!r}: calling it"):
        made = found()
    if inspect.iscoroutine(made):
        made.close()
        msg = f"app {app!r} is an async function; make it a plain one that returns a Cluster"
        raise ConfigurationError(msg)
    if not isinstance(made, Cluster):
        msg = f"app {app!r} returned {type(made).__name__}; let it return a Cluster"
        raise ConfigurationError(msg)
    return made


def _check_takes_nothing(app: str, function: Any) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        msg = f"app {app!r} cannot be called without arguments ({error}); name one that can"
        raise ConfigurationError(msg) from error
