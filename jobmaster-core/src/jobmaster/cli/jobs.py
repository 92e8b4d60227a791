"""`jobmaster jobs`: looking at jobs."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

import typer
from attrs import evolve

from jobmaster._setup.fileconfig import priority_named
from jobmaster._text.showing import shown
from jobmaster.cli.job_views import show_job, show_jobs
from jobmaster.cli.output import JsonOption, print_json, print_notes
from jobmaster.cli.reading import read
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.errors import ConfigurationError
from jobmaster.inspection.documents import job_document, jobs_document
from jobmaster.inspection.jobs import find_jobs, get_job
from jobmaster.models import MetadataFilter, Operator
from jobmaster.queries import LONGEST_PAGE, build_query
from jobmaster.states import JobStatus, Priority

app = typer.Typer(no_args_is_help=True, help="Show jobs.")


def _priority(text: str) -> Priority:
    try:
        return priority_named("priority", text)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error).removeprefix("priority: ")) from error


_OF_OPERATORS = ("<", ">", "!", "~", "=", "^", "$", "*", "%", ":")
"""What a name does not end in where somebody means a comparison."""


def _condition(text: str) -> tuple[str, Any]:
    """Return name and value of `name=value`; a value that is a JSON number, string, true or false is that."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        msg = f"{shown(text)}: write it as name=value"
        raise typer.BadParameter(msg)
    if name.endswith(_OF_OPERATORS):
        msg = f"{shown(text)}: {name[-1]}= is not an operator here, where only equality counts; write it as name=value"
        raise typer.BadParameter(msg)
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return name, value
    return name, value if isinstance(parsed, list | dict | None) else parsed


def _job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        msg = f"{text!r} is not a job id"
        raise typer.BadParameter(msg) from None


PriorityOption = Annotated[
    Any,
    typer.Option(
        "--priority", parser=_priority, metavar="PRIORITY", help="Show this priority only, e.g. high."
    ),
]
MetadataOption = Annotated[
    list[Any] | None,
    typer.Option(
        "--metadata",
        parser=_condition,
        metavar="NAME=VALUE",
        help="Show jobs with this metadata only. Numbers, true and false are taken as such; for a text "
        "that looks like one write it as 'name=\"5\"'. Can be repeated.",
    ),
]
AfterOption = Annotated[
    Any,
    typer.Option(
        "--after",
        parser=_job_id,
        metavar="ID",
        help="Continue after this job, the last one of the previous page.",
    ),
]


@app.command("list")
def list_jobs(
    *,
    status: Annotated[
        list[JobStatus] | None, typer.Option("--status", help="Show this status only. Can be repeated.")
    ] = None,
    handler: Annotated[
        str | None, typer.Option("--handler", metavar="ID", help="Show this definition id only.")
    ] = None,
    lane: Annotated[str | None, typer.Option("--lane", help="Show this lane only.")] = None,
    priority: PriorityOption = None,
    metadata: MetadataOption = None,
    parked: Annotated[
        bool,
        typer.Option("--parked", help="Show parked jobs only, which wait for a worker with their handler."),
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=LONGEST_PAGE, help="The maximum number of jobs to show.")
    ] = 100,
    after: AfterOption = None,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """List jobs, the newest first."""
    query = build_query(
        status=status or (),
        handler=handler,
        lane=lane,
        priority=priority,
        parked=parked or None,
        metadata=[MetadataFilter(name, Operator.EQ, value) for name, value in metadata or ()],
    )
    query = evolve(query, after=after, limit=limit)
    page = read(find_jobs, find_cluster(Source(app, config, cluster, master)), query)
    if as_json:
        print_json(jobs_document(page))
    else:
        show_jobs(page)
    print_notes(page.notes)


@app.command("show")
def show(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    *,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Show one job: settings, data, attempts with their errors, and logs."""
    job = read(get_job, find_cluster(Source(app, config, cluster, master)), job_id)
    if as_json:
        print_json(job_document(job))
    else:
        show_job(job)
