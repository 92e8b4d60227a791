"""How a command finds its cluster: by options, the environment, or the project's `pyproject.toml`, in this order."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Final

import typer
from attrs import evolve, frozen

from jobmaster._setup.fileconfig import PREFIX, build_cluster
from jobmaster.cli.exits import note_cluster
from jobmaster.cli.loader import load_cluster
from jobmaster.cli.project import FILE, TABLE, find_project
from jobmaster.cluster import Cluster, import_ahead
from jobmaster.urls import said, said_path

_PANEL = "Which cluster"
_APP_HELP = (
    "The cluster, or a function that returns it, as module:attribute. "
    "[env: JOBMASTER_APP, or app below tool.jobmaster in pyproject.toml]"
)

AppOption = Annotated[
    str | None,
    typer.Option("--app", "-A", metavar="MODULE:ATTRIBUTE", help=_APP_HELP, rich_help_panel=_PANEL),
]
AppArgument = Annotated[
    str | None, typer.Argument(metavar="MODULE:ATTRIBUTE", help="The same as --app.", show_default=False)
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A TOML or JSON file that describes the cluster. [env: JOBMASTER_CONFIG]",
        rich_help_panel=_PANEL,
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="ID", help="The cluster's id. [env: JOBMASTER_CLUSTER]", rich_help_panel=_PANEL
    ),
]
MasterOption = Annotated[
    str | None,
    typer.Option(
        "--master",
        metavar="URL",
        help="URL of the cluster database. [env: JOBMASTER_MASTER]",
        rich_help_panel=_PANEL,
    ),
]

_APP, _CONFIG, _CLUSTER, _MASTER = (PREFIX + name for name in ("APP", "CONFIG", "CLUSTER", "MASTER"))
_WAYS: Final = (
    f"which cluster? Name it with --app MODULE:ATTRIBUTE (-A), {_APP}, or app below [{TABLE}] in {FILE}; "
    "or with --config FILE, or --cluster ID --master URL"
)


@frozen
class Source:
    """Where a cluster's description is, and how that is known."""

    app: str | None = None
    config: Path | None = None
    cluster: str | None = None
    master: str | None = None
    named_by: str = ""
    """What named the app or the file, if no option did."""
    folder: Path | None = None
    """Where modules are looked for before the working directory."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was given."""
        return self == Source()

    def check(self) -> None:
        """Raise a usage error for options that contradict one another."""
        if self.app is not None and self != Source(app=self.app):
            msg = "an app describes its cluster by itself; leave out --config, --cluster and --master"
            raise typer.BadParameter(msg)

    def completed(self, environ: Mapping[str, str], here: Path) -> Source:
        """Return this source with what it lacks taken from the environment, or else from the project."""
        if self.app is not None:
            return self
        if self.is_empty and (app := environ.get(_APP)):
            return Source(app=app, named_by=_APP)
        if self.config is not None or None not in (self.cluster, self.master):
            return self
        if config := environ.get(_CONFIG):
            return evolve(self, config=Path(config), named_by=_CONFIG)
        if (self.cluster or environ.get(_CLUSTER)) and (self.master or environ.get(_MASTER)):
            return self
        return self._of_project(here)

    def _of_project(self, here: Path) -> Source:
        """Return what the project says. What an app says is not overridden, so with an option it is left aside."""
        project = find_project(here)
        if project is None or (project.app is not None and not self.is_empty):
            return self
        return evolve(
            self,
            app=project.app,
            config=project.config,
            named_by=str(project.file),
            folder=project.folder,
        )

    def described(self, environ: Mapping[str, str]) -> str:
        """Return what named the cluster, as far as no option did."""
        if self.app is not None:
            return f"app {said(self.app)}, named by {self.named_by}" if self.named_by else ""
        variables = [
            variable
            for variable, option in ((_CLUSTER, self.cluster), (_MASTER, self.master))
            if environ.get(variable) and not option
        ]
        file = f"{said_path(self.config)}, named by {self.named_by}" if self.config and self.named_by else ""
        return " and ".join([one for one in (file, *variables) if one])


def named_once(argument: str | None, option: str | None) -> str | None:
    """Return the app that a command got as an argument, or as an option; a usage error if it got two."""
    if argument and option and argument != option:
        msg = f"--app: the argument says {said(argument)}, the option {said(option)}; name one cluster"
        raise typer.BadParameter(msg)
    return argument or option


def is_named(source: Source) -> bool:
    """Whether options, the environment or the project name a cluster: for commands that do without."""
    found = source.completed(os.environ, Path.cwd())
    return not found.is_empty or None not in (os.environ.get(_CLUSTER), os.environ.get(_MASTER))


def find_cluster(source: Source) -> Cluster:
    """Return the cluster that options, the environment or the project describe.

    Raises `typer.BadParameter` if none says enough, `ConfigurationError` for what is wrong.
    """
    source.check()
    found = source.completed(os.environ, Path.cwd())
    note_cluster(found.described(os.environ))
    # What modules print when they are imported is no part of a command's output.
    with redirect_stdout(sys.stderr):
        return _made(found)


def _made(found: Source) -> Cluster:
    here = [found.folder, Path.cwd()] if found.folder else [Path.cwd()]
    if found.app is not None or found.config is not None:
        import_ahead()  # before modules are looked for in these folders, which others may be able to write to
    if found.app is not None:
        return load_cluster(found.app, here)
    environ = os.environ | _overrides(found)
    if found.config is None:
        _check_both(environ)
        return build_cluster(Cluster, {}, environ)
    # What a file imports may also lie beside it.
    return build_cluster(Cluster, found.config, environ, [*here, found.config.absolute().parent])


def _overrides(source: Source) -> dict[str, str]:
    given = {_CLUSTER: source.cluster, _MASTER: source.master}
    return {name: value for name, value in given.items() if value}


def _check_both(environ: Mapping[str, str]) -> None:
    missing = [name for name in ("cluster", "master") if not environ.get(PREFIX + name.upper())]
    if not missing:
        return
    if len(missing) == 1:
        msg = f"--{missing[0]} is missing (or {PREFIX}{missing[0].upper()})"
        raise typer.BadParameter(msg)
    raise typer.BadParameter(_WAYS)
