"""`jobmaster schedules pause`, `resume`, `cancel` and `run-now`: changing recurring schedules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.terminal import console
from jobmaster.cluster import Cluster
from jobmaster.inspection.documents import schedule_summary
from jobmaster.inspection.opening import opened, registered
from jobmaster.inspection.schedules import unknown_schedule
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.schedule_rules import as_schedule_id
from jobmaster.scheduler import Scheduler

Verb = Callable[[Scheduler, str], Awaitable[Any]]

ScheduleArgument = Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")]


def add_changes(app: typer.Typer) -> None:
    """Add the commands that change a schedule."""
    for name, (verb, help_) in _VERBS.items():
        app.command(name, help=help_)(_command(verb))


_VERBS: dict[str, tuple[Verb, str]] = {
    "pause": (
        Scheduler.pause_recurring,
        "Let a schedule rest until it is resumed. Its jobs that are not due yet are taken away.",
    ),
    "resume": (
        Scheduler.resume_recurring,
        "Let a paused schedule go on. Times that passed meanwhile are not run.",
    ),
    "cancel": (Scheduler.cancel_recurring, "Cancel a schedule for good. A job that is due or runs goes on."),
    "run-now": (Scheduler.run_now, "Run a job of a schedule at once, out of turn."),
}


def _command(verb: Verb) -> Callable[..., None]:
    """Return a command that changes one schedule and says how it is now, or which job was made."""

    def change(
        schedule_id: ScheduleArgument,
        *,
        as_json: JsonOption = False,
        app: AppOption = None,
        config: ConfigOption = None,
        cluster: ClusterOption = None,
        master: MasterOption = None,
    ) -> None:
        result = run_async(_changed, find_cluster(Source(app, config, cluster, master)), verb, schedule_id)
        if isinstance(result, ScheduleRecord):
            _tell(as_json, schedule_summary(result), f"Schedule {result.id} is {result.status}.")
        else:
            text = f"Job {result.job_id} runs as soon as a worker has a free slot."
            _tell(as_json, {"job_id": str(result.job_id)}, text)

    return change


def _tell(as_json: bool, plain: Any, text: str) -> None:
    if as_json:
        print_json(plain)
    else:
        console().print(text)


async def _changed(cluster: Cluster, verb: Verb, schedule_id: str) -> Any:
    """Return what a change gives. No cluster is registered, and no schema changed."""
    async with opened(cluster) as master:
        await registered(cluster, master)
        if as_schedule_id(schedule_id) is None:
            raise await unknown_schedule(cluster, master.schedules, schedule_id)
    async with cluster.configure(auto_migrate=False).running(workers=False) as runtime:
        return await verb(runtime.scheduler, schedule_id)
