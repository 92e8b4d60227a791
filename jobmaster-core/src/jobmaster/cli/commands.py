"""The commands by name, each imported when it is looked for: most take the whole runtime to import, `--version` none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import Any, Final

import typer

from jobmaster.errors import ConfigurationError

OURS: Final[Mapping[str, str]] = {
    "demo": "jobmaster.cli.demo.command:demo",
    "worker": "jobmaster.cli.worker:worker",
    "migrate": "jobmaster.cli.migrate:migrate",
    "move": "jobmaster.cli.moving:move",
    "status": "jobmaster.cli.status:status",
    "jobs": "jobmaster.cli.jobs:app",
    "schedules": "jobmaster.cli.schedules:app",
    "workers": "jobmaster.cli.workers:app",
    "buckets": "jobmaster.cli.buckets:app",
    "lane": "jobmaster.cli.lanes:app",
    "cluster": "jobmaster.cli.clusters:app",
}
"""Where each command is defined, in the order in which the help lists them: a function, or a group of commands."""

STYLE: Final[Mapping[str, Any]] = {"pretty_exceptions_enable": False, "rich_markup_mode": "markdown"}
"""What all commands have in common."""


class Commands(MutableMapping[str, Any]):
    """Commands by name, as the command-line library asks for them. It may add some of its own.

    To look for one asks the plug-ins for theirs, so that one that is in the way of ours is told whatever was typed.
    """

    def __init__(self, of_plugins: Callable[[], dict[str, Any]]) -> None:
        self._of_plugins = of_plugins
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        found = self._of_plugins() | self._made
        if name not in found and name in OURS:
            self._made[name] = found[name] = _made(name)
        return found[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*OURS, *self._of_plugins(), *self._made]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _made(name: str) -> Any:
    """Return one of our commands, as the command-line library has it."""
    module, _, attribute = OURS[name].partition(":")
    defined = getattr(import_module(module), attribute)
    app = typer.Typer(**STYLE)
    if isinstance(defined, typer.Typer):
        app.add_typer(defined, name=name)
    else:
        app.command(name)(defined)
    return _built(app)[name]


def _built(app: typer.Typer) -> Mapping[str, Any]:
    commands: Mapping[str, Any] = typer.main.get_group(app).commands
    return commands


def commands_of(plugins: Sequence[Any]) -> dict[str, Any]:
    """Return the commands that installed plug-ins and `plugins` add.

    Raises `ConfigurationError` for a plug-in that is broken or whose command exists already.
    """
    from jobmaster.plugins import Plugins

    app = typer.Typer(**STYLE)
    Plugins(plugins).hook.jobmaster_commands(app=app)
    _check_names(app)
    return dict(_built(app))


def _check_names(app: typer.Typer) -> None:
    names = [*OURS, *(one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands)]
    names += [
        str(one.name or one.typer_instance.info.name) for one in app.registered_groups if one.typer_instance
    ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        msg = f"a plug-in adds the command {twice[0]!r}, which exists already; uninstall it"
        raise ConfigurationError(msg)
