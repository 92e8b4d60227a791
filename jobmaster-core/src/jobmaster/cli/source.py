"""How a command finds its cluster: `--app`, `--config`, or `--cluster` and `--master`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from attrs import evolve, frozen

from jobmaster.cli.loader import add_working_directory, load_cluster
from jobmaster.cluster import Cluster
from jobmaster.fileconfig import PREFIX, build_cluster

_PANEL = "Which cluster"
_APP_HELP = "The cluster, or a function that returns it, as module:attribute. [env: JOBMASTER_APP]"

AppOption = Annotated[
    str | None,
    typer.Option("--app", "-A", metavar="MODULE:ATTRIBUTE", help=_APP_HELP, rich_help_panel=_PANEL),
]
AppArgument = Annotated[str | None, typer.Argument(metavar="MODULE:CLUSTER", help=_APP_HELP)]
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


@frozen
class Source:
    """Where a cluster's description is."""

    app: str | None = None
    config: Path | None = None
    cluster: str | None = None
    master: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was given."""
        return self == Source()

    def check(self) -> None:
        """Raise a usage error for options that contradict one another."""
        if self.app is not None and self != Source(app=self.app):
            msg = "an app describes its cluster by itself; leave out --config, --cluster and --master"
            raise typer.BadParameter(msg)

    def completed(self, environ: Mapping[str, str]) -> Source:
        """Return this source with what it lacks taken from the environment."""
        if self.app is not None:
            return self
        if self.is_empty and (app := environ.get(PREFIX + "APP")):
            return Source(app=app)
        if self.config is None and None in (self.cluster, self.master):
            config = environ.get(PREFIX + "CONFIG")
            return evolve(self, config=Path(config) if config else None)
        return self


def find_cluster(source: Source) -> Cluster:
    """Return the cluster that options or the environment describe.

    The command line comes before the environment. Raises `typer.BadParameter` if neither says enough,
    `ConfigurationError` for what is wrong.
    """
    source.check()
    found = source.completed(os.environ)
    if found.app is not None:
        return load_cluster(found.app)
    environ = os.environ | _overrides(found)
    if found.config is None:
        _check_both(environ)
    add_working_directory()  # what a file imports may lie there
    return build_cluster(Cluster, found.config or {}, environ)


def _overrides(source: Source) -> dict[str, str]:
    given = {"CLUSTER": source.cluster, "MASTER": source.master}
    return {PREFIX + name: value for name, value in given.items() if value}


def _check_both(environ: Mapping[str, str]) -> None:
    missing = [name for name in ("cluster", "master") if not environ.get(PREFIX + name.upper())]
    if not missing:
        return
    if len(missing) == 1:
        msg = f"--{missing[0]} is missing (or {PREFIX}{missing[0].upper()})"
        raise typer.BadParameter(msg)
    msg = "which cluster? Give --app module:attribute, --config FILE, or --cluster ID --master URL"
    raise typer.BadParameter(msg)
