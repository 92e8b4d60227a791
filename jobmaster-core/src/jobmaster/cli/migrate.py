"""`jobmaster migrate`: bringing the schemas of master and agents up to date, or showing what that would take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated

import anyio
import typer

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cluster import Cluster
from jobmaster.contracts import SchemaStore


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
    """Bring the schemas of the cluster database and of its agents up to date."""
    if sql and (check or as_json):
        msg = "--sql prints a script and nothing else; leave out --check and --json"
        raise typer.BadParameter(msg)
    found = find_cluster(Source(app, config, cluster, master))
    if sql:
        print(_script(found), end="")
    elif check:
        _report_pending(run_async(_each, found, lambda store: store.pending_migrations()), as_json=as_json)
    else:
        _report_applied(run_async(_each, found, lambda store: store.migrate()), as_json=as_json)


def _stores(cluster: Cluster) -> Mapping[str, SchemaStore]:
    """Return the stores of a cluster, not yet opened, by what the names of their migrations start with."""
    agents = {f"{agent.name}: ": agent for agent in cluster.open_agents()}
    return {"": cluster.open_master(), **agents}


def _script(cluster: Cluster) -> str:
    """Return the statements for all stores; each is headed by its name, for they may be different databases."""
    stores = _stores(cluster)
    if len(stores) == 1:
        return stores[""].migration_script()
    return "\n".join(
        f"-- {prefix.removesuffix(': ') or 'master'}\n{store.migration_script()}"
        for prefix, store in stores.items()
    )


async def _each(cluster: Cluster, work: Callable[[SchemaStore], Awaitable[Sequence[str]]]) -> Sequence[str]:
    """Return what `work` returns for each store; names of an agent's migrations start with its own."""
    names: list[str] = []
    for prefix, store in _stores(cluster).items():
        names += [prefix + name for name in await _opened(store, work)]
    return names


async def _opened(
    store: SchemaStore, work: Callable[[SchemaStore], Awaitable[Sequence[str]]]
) -> Sequence[str]:
    try:
        await store.open()
        return await work(store)
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


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
