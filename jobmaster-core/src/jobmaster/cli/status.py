"""`jobmaster status`: the cluster at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.tables import (
    agent_table,
    bucket_table,
    host_table,
    no_worker,
    worker_note,
    worker_table,
)
from jobmaster.cli.terminal import console, state, table
from jobmaster.inspection.documents import snapshot_document
from jobmaster.inspection.snapshot import Picture, look
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
        print_json(snapshot_document(picture))
    else:
        _show(picture)
    if picture.pending:
        raise typer.Exit(ExitCode.SCHEMA)


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
