"""`jobmaster status`: the cluster at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import read
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
from jobmaster.inspection.models import Snapshot
from jobmaster.inspection.snapshot import take_snapshot
from jobmaster.states import JobStatus


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
    snapshot = read(take_snapshot, find_cluster(Source(app, config, cluster, master)))
    if as_json:
        print_json(snapshot_document(snapshot))
    else:
        _show(snapshot)
    if snapshot.pending:
        raise typer.Exit(ExitCode.SCHEMA)


# For people


def _show(snapshot: Snapshot) -> None:
    out, record = console(), snapshot.cluster
    schema = "schema not up to date" if snapshot.pending else "schema up to date"
    out.print(f"Cluster {record.id}: {record.mode}; {schema}")
    for warning in snapshot.warnings():
        out.print(f"warning: {warning}", style="yellow")
    for part in _parts(snapshot):
        out.print()
        out.print(part)


def _parts(snapshot: Snapshot) -> Iterator[Any]:
    counts = [(state(one), f"{snapshot.jobs[one]:,}") for one in JobStatus if one in snapshot.jobs]
    yield table("Jobs", ("Status", ">Count"), counts) if counts else "No jobs yet."
    if waiting := sorted(snapshot.waiting_by_lane.items()):
        yield table("Waiting", ("Lane", ">Due jobs"), [(lane, f"{count:,}") for lane, count in waiting])
    if snapshot.agents:
        yield agent_table(snapshot)
    if snapshot.hosts:
        yield host_table(snapshot)
    running = snapshot.listed(every=False)
    yield worker_table(snapshot, running) if running else no_worker(snapshot)
    if note := worker_note(snapshot):
        yield note
    if living := snapshot.found_buckets():
        yield bucket_table(snapshot, living)
