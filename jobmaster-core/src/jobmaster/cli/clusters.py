"""`jobmaster cluster`: looking at a cluster's mode and settings, and changing them while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from jobmaster._setup.fileconfig import is_duration, setting_from_text
from jobmaster._time.durations import written
from jobmaster._verbs.control_verbs import check_shared
from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import read, run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.steering import changed
from jobmaster.cli.terminal import console, table
from jobmaster.config import Settings
from jobmaster.contracts import ClusterChange
from jobmaster.inspection.documents import cluster_document
from jobmaster.inspection.opening import registered
from jobmaster.models import ClusterRecord
from jobmaster.states import ClusterMode
from jobmaster.urls import said

app = typer.Typer(no_args_is_help=True, help="Show the cluster, and change it while it runs.")


@app.command()
def show(
    *,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Show the cluster's mode, settings and paused lanes."""
    _show(read(registered, find_cluster(Source(app, config, cluster, master))), as_json=as_json)


@app.command("mode")
def set_mode(
    mode: Annotated[ClusterMode, typer.Argument(help="The mode of the cluster from now on.")],
    *,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Change the cluster's mode. Running processes follow."""
    found = find_cluster(Source(app, config, cluster, master))
    _show(run_async(changed, found, ClusterChange(mode=mode)), as_json=as_json)


@app.command("set")
def set_settings(
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Settings, e.g. retention=7d default_max_retries=5."),
    ] = None,
    *,
    reset: Annotated[
        list[str] | None,
        typer.Option(
            "--reset",
            metavar="NAME",
            help="Return to the value that processes are started with. Can be repeated.",
        ),
    ] = None,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Change cluster-wide settings from now on. Running processes follow."""
    if not settings and not reset:
        msg = "nothing to set; give NAME=VALUE, or --reset NAME"
        raise typer.BadParameter(msg)
    change = ClusterChange(settings=_values(settings or ()), reset=_names(reset or ()))
    found = find_cluster(Source(app, config, cluster, master))
    _show(run_async(changed, found, change), as_json=as_json)


def _values(given: Sequence[str]) -> dict[str, Any]:
    """Return settings by name; raises `ConfigurationError` for one that cannot be changed so, or a bad value."""
    texts = dict(map(_pair, given))
    names = _names(list(texts))
    checked = Settings().changed({name: setting_from_text(name, name, texts[name]) for name in names})
    return {name: checked.shared()[name] for name in names}


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        msg = f"{said(text)}: write it as name=value"
        raise typer.BadParameter(msg)
    return name, value


def _names(names: Sequence[str]) -> Sequence[str]:
    check_shared("cluster set", names)
    return names


# Showing it


def _show(record: ClusterRecord, *, as_json: bool) -> None:
    if as_json:
        print_json(cluster_document(record))
        return
    out = console()
    out.print(f"Cluster {record.id}: {record.mode}")
    if record.paused_lanes:
        out.print(f"Paused lanes: {', '.join(sorted(record.paused_lanes))}")
    out.print()
    out.print(table("Settings", ("Setting", "Value", "Changed while it runs"), _rows(record)))


def _rows(record: ClusterRecord) -> Iterator[Sequence[Any]]:
    for name, value in {**record.settings, **record.changes}.items():
        yield name, _shown(name, value), "yes" if name in record.changes else ""


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "none"
    return written(value) if is_duration(name) else str(value)
