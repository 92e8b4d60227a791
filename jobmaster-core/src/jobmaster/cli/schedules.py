"""`jobmaster schedules`: looking at recurring schedules, changing them, and trying expressions out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from jobmaster.cli.output import JsonOption, print_json, print_note, print_notes, warnings_as_notes
from jobmaster.cli.reading import read, run_async
from jobmaster.cli.schedule_views import show_preview, show_schedule, show_schedules
from jobmaster.cli.source import (
    AppOption,
    ClusterOption,
    ConfigOption,
    MasterOption,
    Source,
    find_cluster,
    is_named,
)
from jobmaster.cli.terminal import console
from jobmaster.cluster import Cluster
from jobmaster.inspection.documents import (
    preview_document,
    schedule_document,
    schedule_summary,
    schedules_document,
)
from jobmaster.inspection.models import Preview
from jobmaster.inspection.opening import opened, registered
from jobmaster.inspection.schedules import find_schedules, get_schedule, unknown_schedule
from jobmaster.plugins import Plugins
from jobmaster.queries import definition_id_of
from jobmaster.recurrence import zone_of
from jobmaster.recurrence.host import host_zone_name
from jobmaster.recurrence.interval import KIND as INTERVAL
from jobmaster.recurrence.zones import remark_on
from jobmaster.schedule_models import ScheduleQuery, ScheduleRecord
from jobmaster.schedule_rules import as_schedule_id
from jobmaster.scheduler import Scheduler
from jobmaster.states import ScheduleStatus

Verb = Callable[[Scheduler, str], Awaitable[Any]]

LONGEST_PAGE = 1000
SHOWN_TIMES = 5

app = typer.Typer(no_args_is_help=True, help="Show and change recurring schedules, and try expressions.")


def _schedule_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        msg = f"{text!r} is not a schedule id"
        raise typer.BadParameter(msg) from None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is not a moment; write it as 2026-01-31T18:00, or with an offset: 2026-01-31T18:00+01:00"
        raise typer.BadParameter(msg) from None


ScheduleArgument = Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")]
AfterOption = Annotated[
    Any,
    typer.Option(
        "--after",
        parser=_schedule_id,
        metavar="ID",
        help="Continue after this schedule, the last one of the previous page.",
    ),
]
FromOption = Annotated[
    Any,
    typer.Option(
        "--from",
        parser=_moment,
        metavar="MOMENT",
        help="The start of the schedule, in its time zone unless an offset is given. By default: now.",
    ),
]


# Trying out


@app.command("preview")
def preview(
    *,
    expression: Annotated[
        str,
        typer.Option("--expression", "-e", metavar="TEXT", help="When it fires, e.g. 'every day at 18:00'."),
    ],
    kind: Annotated[
        str | None, typer.Option("--kind", help="natural (the default), cron, interval, or a plug-in's.")
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            "--zone", help="The time zone, e.g. Europe/Paris. By default: that of the cluster or host."
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=1, max=LONGEST_PAGE, help="The number of times to show.")
    ] = 10,
    start: FromOption = None,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Show when an expression fires. Needs no cluster; if one is named, its time zone and plug-ins apply."""
    found = _cluster_if_any(Source(app, config, cluster, master))
    kinds = found.kinds() if found else Plugins().kinds
    with warnings_as_notes("jobmaster.recurrence"):
        chosen = _zone(zone, found)
        begin = _in_zone(start, chosen) if start else datetime.now(UTC)
        made = Preview.of(kinds.compile(expression, kind, chosen), chosen, begin, count)
    if as_json:
        print_json(preview_document(made))
    else:
        show_preview(made)
    if made.kind != INTERVAL and (remark := remark_on(chosen)):
        print_note(remark)


def _zone(name: str | None, cluster: Cluster | None) -> ZoneInfo:
    if name is not None:
        return zone_of(name, "--zone")
    return zone_of((cluster and cluster.settings.time_zone) or host_zone_name())


def _cluster_if_any(source: Source) -> Cluster | None:
    return find_cluster(source) if is_named(source) else None


def _in_zone(moment: datetime, zone: Any) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


# Looking


@app.command("list")
def list_schedules(
    *,
    status: Annotated[
        list[ScheduleStatus] | None, typer.Option("--status", help="Show this status only. Can be repeated.")
    ] = None,
    handler: Annotated[
        str | None, typer.Option("--handler", metavar="ID", help="Show this definition id only.")
    ] = None,
    static: Annotated[
        bool | None,
        typer.Option("--static/--dynamic", help="Show only schedules declared in code, or only the others."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=LONGEST_PAGE, help="The maximum number of schedules to show.")
    ] = 100,
    after: AfterOption = None,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """List recurring schedules, the newest first."""
    query = ScheduleQuery(
        statuses=frozenset(status or ()),
        definition_id=definition_id_of(handler),
        static=static,
        after=after,
        limit=limit,
    )
    page = read(find_schedules, find_cluster(Source(app, config, cluster, master)), query)
    if as_json:
        print_json(schedules_document(page))
    else:
        show_schedules(page)
    print_notes(page.notes)


@app.command("show")
def show(
    schedule_id: ScheduleArgument,
    *,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Show one recurring schedule: what it means, its settings and data, and when it fires next."""
    found = find_cluster(Source(app, config, cluster, master))
    with warnings_as_notes("jobmaster.recurrence"):
        record, times = read(get_schedule, found, schedule_id, SHOWN_TIMES)
    if as_json:
        print_json(schedule_document(record, times))
    else:
        show_schedule(record, times)


# Changing


_VERBS: dict[str, tuple[Verb, str]] = {
    "pause": (
        Scheduler.pause_recurring,
        "Pause a schedule. Its jobs that are not due yet are removed.",
    ),
    "resume": (
        Scheduler.resume_recurring,
        "Resume a paused schedule. Times that passed meanwhile are skipped.",
    ),
    "cancel": (
        Scheduler.cancel_recurring,
        "Cancel a schedule permanently. A job that is due or running continues.",
    ),
    "run-now": (Scheduler.run_now, "Run a job of a schedule now, out of turn."),
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


for _name, (_verb, _help) in _VERBS.items():
    app.command(_name, help=_help)(_command(_verb))
