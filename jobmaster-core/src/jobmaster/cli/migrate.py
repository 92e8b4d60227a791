"""`jobmaster migrate`: bringing the schemas of master and agents up to date, or showing what that would take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, TypeAlias

import anyio
import typer
from attrs import frozen

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, print_json, say
from jobmaster.cli.reading import run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.streams import shown_in_line
from jobmaster.cluster import Cluster
from jobmaster.contracts import AgentRepository, MasterRepository

_Store: TypeAlias = MasterRepository | AgentRepository


def migrate(
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the script for a DBA, without a connection.")
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
        msg = "--sql prints only a script; leave out --check and --json"
        raise typer.BadParameter(msg)
    found = find_cluster(Source(app, config, cluster, master))
    if sql:
        say(_script(found), end="")
    elif check:
        _report(run_async(_each, found, lambda store: store.schema.pending()), "pending", as_json=as_json)
    else:
        _report(run_async(_each, found, lambda store: store.schema.migrate()), "applied", as_json=as_json)


@frozen
class _Outcome:
    """Names of migrations, those of an agent with its own in front: what was asked for, and what newer code applied."""

    names: Sequence[str]
    newer: Sequence[str]


def _stores(cluster: Cluster) -> Mapping[str, _Store]:
    """Return the stores of a cluster, not yet opened, by what the names of their migrations start with."""
    agents: dict[str, _Store] = {f"{agent.name}: ": agent for agent in cluster.open_agents()}
    return {"": cluster.open_master(), **agents}


def _script(cluster: Cluster) -> str:
    """Return the statements for all stores; each is headed by its name, for they may be different databases."""
    stores = _stores(cluster)
    if len(stores) == 1:
        return stores[""].schema.script()
    return "\n".join(
        f"-- {prefix.removesuffix(': ') or 'master'}\n{store.schema.script()}"
        for prefix, store in stores.items()
    )


async def _each(cluster: Cluster, work: Callable[[_Store], Awaitable[Sequence[str]]]) -> _Outcome:
    """Return what `work` returns for each store; names of an agent's migrations start with its own."""
    names: list[str] = []
    newer: list[str] = []
    for prefix, store in _stores(cluster).items():
        found = await _opened(store, work)
        names += [prefix + name for name in found.names]
        newer += [prefix + name for name in found.newer]
    return _Outcome(names, newer)


async def _opened(store: _Store, work: Callable[[_Store], Awaitable[Sequence[str]]]) -> _Outcome:
    try:
        await store.open()
        return _Outcome(await work(store), await store.schema.newer())
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


def _report(outcome: _Outcome, verb: str, *, as_json: bool) -> None:
    if as_json:
        newer = {"newer": list(outcome.newer)} if outcome.newer else {}
        print_json({verb: list(outcome.names), **newer})
    else:
        _print_names(outcome, verb)
    if verb == "pending" and outcome.names:
        raise typer.Exit(ExitCode.SCHEMA)


def _print_names(outcome: _Outcome, verb: str) -> None:
    for name in outcome.names:
        say(f"{verb}: {shown_in_line(name)}")
    for name in outcome.newer:
        say(f"newer: {shown_in_line(name)}, which serves this version of JobMaster as well")
    if not outcome.names:
        say("the schema is up to date")
