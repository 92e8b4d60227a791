"""`jobmaster move`: moving a whole cluster to another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from jobmaster._text.logtext import counted
from jobmaster._upkeep.move_cluster import MoveResult
from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import Backend, BackendOption, run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.terminal import console, table
from jobmaster.cluster import Cluster
from jobmaster.config.targets import MoveTarget
from jobmaster.inspection.opening import opened, registered
from jobmaster.moves import Left, MoveSummary
from jobmaster.states import ClusterMode

_ANY = "any://"
MOST_SHOWN = 20
"""Things left behind that are listed; `--json` has them all."""


def move(
    *,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="The target's database. By default: that of `move_to`."),
    ] = None,
    to_cluster: Annotated[
        str | None, typer.Option("--to-cluster", metavar="ID", help="The target's id, if it differs.")
    ] = None,
    mode: Annotated[
        ClusterMode, typer.Option("--mode", help="The first mode of a new target: passive or active.")
    ] = ClusterMode.PASSIVE,
    history: Annotated[
        bool, typer.Option("--history", help="Also move finished jobs and ended schedules.")
    ] = False,
    drop_keys: Annotated[
        bool,
        typer.Option(
            "--drop-keys",
            help="Move jobs and schedules without their keys if the target uses the keys already.",
        ),
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="The time to wait for running jobs.")
    ] = 60.0,
    backend: BackendOption = Backend.ASYNCIO,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Move held jobs and schedules to another cluster, with their ids, attempts and logs.

    Sets this cluster's mode to `migrating`. After any failure, run it again: it goes on from there. Exits with 1
    if something is left behind, and says why.
    """
    found = find_cluster(Source(app, config, cluster, master))
    target = _target(found, to, to_cluster, mode=mode, keep_keys=not drop_keys, history=history)
    summary = run_async(_move, found, target, wait, as_json=as_json, backend=backend)
    if as_json:
        print_json(as_plain(summary))
    else:
        _show(found.id, summary)
    if not summary.is_complete:
        raise typer.Exit(ExitCode.FAILED)


def _target(cluster: Cluster, to: str | None, to_cluster: str | None, **settings: Any) -> MoveTarget | None:
    """Return the target that the options say; None for the one that the cluster was told."""
    if to is not None:
        return cluster.target(to, to_cluster, **settings)
    if to_cluster is not None or MoveTarget(url=_ANY, **settings) != MoveTarget(url=_ANY):
        msg = "--to URL is missing: the other options about the target require it or belong in move_to"
        raise typer.BadParameter(msg)
    return None


async def _move(cluster: Cluster, target: MoveTarget | None, wait: float, *, as_json: bool) -> MoveSummary:
    async with opened(cluster) as master:
        await registered(cluster, master)
    async with cluster.running(workers=False) as runtime:
        return await runtime.move(target, patience=wait, on_moved=_ignore if as_json else _Progress())


def _ignore(_: MoveResult) -> None:
    """Show nothing."""


class _Progress:
    """Shows how much has moved so far."""

    def __init__(self) -> None:
        self._jobs = self._schedules = 0
        self._console = console()

    def __call__(self, moved: MoveResult) -> None:
        self._jobs, self._schedules = self._jobs + moved.jobs, self._schedules + moved.schedules
        self._console.print(f"moved {_moved(self._jobs, self._schedules)}")


def _moved(jobs: int, schedules: int) -> str:
    return f"{counted(jobs, 'job')}, {counted(schedules, 'schedule')}"


# For programs


def as_plain(summary: MoveSummary) -> dict[str, Any]:
    """Return the JSON form of a summary; its keys are documented and stay."""
    return {
        "target": summary.target,
        "complete": summary.is_complete,
        "jobs": summary.jobs,
        "schedules": summary.schedules,
        "in_buckets": summary.in_buckets,
        "waiting_schedules": summary.waiting,
        "unasked_agents": list(summary.unasked),
        "left": [{"what": one.what, "id": str(one.id), "why": one.why} for one in summary.left],
    }


# For people


def _show(cluster_id: str, summary: MoveSummary) -> None:
    out = console()
    out.print(f"Cluster {cluster_id} moved to {summary.target}: {_moved(summary.jobs, summary.schedules)}")
    if summary.in_buckets:
        out.print(
            f"{counted(summary.in_buckets, 'job is', 'jobs are')} still in buckets: wait until their workers have finished "
            "them or are gone, then move again"
        )
    if summary.waiting:
        waiting = counted(summary.waiting, "schedule waits for its", "schedules wait for their")
        out.print(f"{waiting} last job to end: move again after that")
    if summary.unasked:
        out.print(
            f"Agent {', '.join(summary.unasked)} could not be asked, and may hold jobs: name it in the configuration, "
            "make sure that it can be reached, then move again"
        )
    if summary.left:
        out.print(_left_table(summary.left))
    if summary.is_complete:
        out.print("Nothing is left. The cluster is still migrating: new jobs wait here.")


def _left_table(left: Sequence[Left]) -> Any:
    rows = [(one.what, one.id, one.why) for one in left[:MOST_SHOWN]]
    more = f" (the first {MOST_SHOWN} of {len(left):,})" if len(left) > MOST_SHOWN else ""
    return table(f"Left behind{more}", ("What", "ID", "Why"), rows)
