"""`jobmaster migrate`: bringing a schema up to date, or showing what that would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import opened, run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cluster import Cluster


def migrate(
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the script for a DBA; needs no connection.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 6 if migrations are pending.")
    ] = False,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Bring the schema of the cluster database up to date."""
    if sql and (check or as_json):
        msg = "--sql prints a script and nothing else; leave out --check and --json"
        raise typer.BadParameter(msg)
    found = find_cluster(Source(app, config, cluster, master))
    if sql:
        print(found.open_master().migration_script(), end="")
    elif check:
        _report_pending(run_async(_pending, found), as_json=as_json)
    else:
        _report_applied(run_async(_apply, found), as_json=as_json)


async def _pending(cluster: Cluster) -> Sequence[str]:
    async with opened(cluster) as master:
        return await master.pending_migrations()


async def _apply(cluster: Cluster) -> Sequence[str]:
    async with opened(cluster) as master:
        return await master.migrate()


def _report_pending(names: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"pending": list(names)})
    else:
        _print_names("pending", names)
    if names:
        raise typer.Exit(ExitCode.SCHEMA)


def _report_applied(names: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"applied": list(names)})
    else:
        _print_names("applied", names)


def _print_names(verb: str, names: Sequence[str]) -> None:
    for name in names:
        print(f"{verb}: {name}")
    if not names:
        print("the schema is up to date")
