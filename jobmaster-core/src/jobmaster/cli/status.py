"""`jobmaster status`: the cluster at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from attrs import asdict

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, console, print_json, state, table
from jobmaster.cli.picture import Picture, look
from jobmaster.cli.reading import run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.tables import (
    agent_table,
    bucket_table,
    host_table,
    no_worker,
    plain_agent,
    plain_bucket,
    plain_host,
    plain_worker,
    worker_note,
    worker_table,
)
from jobmaster.converters import iso, to_plain
from jobmaster.states import BucketStatus, JobStatus


def status(
    *,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Show the cluster: its mode, jobs by status, agents, hosts, workers, buckets and schema.

    Exits with 6 if migrations are pending.
    """
    picture = run_async(look, find_cluster(Source(app, config, cluster, master)))
    if as_json:
        print_json(as_plain(picture))
    else:
        _show(picture)
    if picture.pending:
        raise typer.Exit(ExitCode.SCHEMA)


# For programs


def as_plain(picture: Picture) -> dict[str, Any]:
    """Return the JSON form of a picture; its keys are documented and stay."""
    return {
        "now": iso(picture.now),
        "cluster": to_plain(picture.cluster),
        "schema": {"up_to_date": not picture.pending, "pending": list(picture.pending)},
        "jobs": {str(one): picture.jobs.get(one, 0) for one in JobStatus},
        "waiting": dict(sorted(picture.waiting_by_lane.items())),
        "parked": picture.parked,
        "agents": [plain_agent(picture, agent) for agent in picture.agents],
        "hosts": [plain_host(picture, host) for host in picture.hosts],
        "workers": [plain_worker(picture, worker) for worker in picture.listed(every=True)],
        "buckets": [plain_bucket(picture, bucket) for bucket in picture.buckets],
        "durability": [
            {"store": store, **asdict(risk)} for store, risks in picture.risks.items() for risk in risks
        ],
        "warnings": picture.warnings(),
    }


# For people


def _show(picture: Picture) -> None:
    out, record = console(), picture.cluster
    schema = "schema not up to date" if picture.pending else "schema up to date"
    out.print(f"Cluster {record.id}: {record.mode}; {schema}")
    for warning in picture.warnings():
        out.print(f"warning: {warning}", style="yellow")
    for part in _parts(picture):
        out.print()
        out.print(part)


def _parts(picture: Picture) -> Iterator[Any]:
    counts = [(state(one), f"{picture.jobs[one]:,}") for one in JobStatus if one in picture.jobs]
    yield table("Jobs", ("Status", ">Count"), counts) if counts else "No jobs yet."
    if waiting := sorted(picture.waiting_by_lane.items()):
        yield table("Waiting", ("Lane", ">Due jobs"), [(lane, f"{count:,}") for lane, count in waiting])
    if picture.agents:
        yield agent_table(picture)
    if picture.hosts:
        yield host_table(picture)
    running = picture.listed(every=False)
    yield worker_table(picture, running) if running else no_worker(picture)
    if note := worker_note(picture):
        yield note
    if living := [one for one in picture.buckets if one.status is not BucketStatus.READY_TO_DELETE]:
        yield bucket_table(picture, living)
