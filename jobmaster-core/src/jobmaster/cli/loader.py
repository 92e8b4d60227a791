"""Importing the cluster that `module:attribute` names."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from jobmaster.cluster import Cluster
from jobmaster.errors import ConfigurationError
from jobmaster.fileconfig import import_named


def load_cluster(app: str) -> Cluster:
    """Return the cluster that `module:attribute` names: a `Cluster`, or a function that returns one.

    The module is imported with the working directory on the Python path. Raises `ConfigurationError` that
    says which part is wrong, with a suggestion.
    """
    module_name, colon, attribute = app.partition(":")
    if not colon or not module_name or not attribute:
        msg = f"app {app!r}: write it as module:attribute, for example {module_name or 'myapp'}:cluster"
        raise ConfigurationError(msg)
    add_working_directory()
    _check_exists(app, module_name)
    module = import_named(f"app {app!r}", module_name)
    return _as_cluster(app, _attribute(app, module, attribute))


def add_working_directory() -> None:
    """Let modules of the working directory be imported, as `python -m` does."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


# The module


def _check_exists(app: str, name: str) -> None:
    """Raise if a module is missing, with what is there instead."""
    parent, _, last = name.rpartition(".")
    if parent:
        _check_exists(app, parent)
        places: Sequence[str] | None = list(getattr(import_named(f"app {app!r}", parent), "__path__", ()))
    else:
        places = None
    if name in sys.modules or _is_there(name):
        return
    where = f"in package {parent!r}" if parent else f"in {Path.cwd()} or on the Python path"
    found = (module.name for module in pkgutil.iter_modules(places or [str(Path.cwd())]))
    msg = f"app {app!r}: there is no module {last!r} {where}{_guess(last, found)}"
    raise ConfigurationError(msg)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _guess(name: str, known: Iterable[str]) -> str:
    guess = get_close_matches(name, list(known), n=1)
    return f"; did you mean {guess[0]!r}?" if guess else ""


# The attribute


def _attribute(app: str, module: ModuleType, path: str) -> Any:
    try:
        return reduce(getattr, path.split("."), module)
    except AttributeError:
        clusters = [name for name, value in vars(module).items() if isinstance(value, Cluster)]
        hint = _guess(path, vars(module)) or _offered(clusters)
        msg = f"app {app!r}: module {module.__name__!r} has no attribute {path!r}{hint}"
        raise ConfigurationError(msg) from None


def _offered(clusters: Sequence[str]) -> str:
    return f"; its clusters are: {', '.join(clusters)}" if clusters else "; it defines no cluster"


def _as_cluster(app: str, found: Any) -> Cluster:
    if isinstance(found, Cluster):
        return found
    if not callable(found) or (isinstance(found, type) and not issubclass(found, Cluster)):
        msg = f"app {app!r} is of type {type(found).__name__}; name a Cluster, or a function that returns one"
        raise ConfigurationError(msg)
    _check_takes_nothing(app, found)
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
