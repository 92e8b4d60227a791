"""`jobmaster buckets`: looking at buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from jobmaster.cli.output import JsonOption, print_json, print_notes
from jobmaster.cli.reading import read
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.tables import bucket_table
from jobmaster.cli.terminal import console
from jobmaster.config import check_name
from jobmaster.inspection.documents import buckets_document
from jobmaster.inspection.slips import bucket_notes
from jobmaster.inspection.snapshot import take_snapshot

app = typer.Typer(no_args_is_help=True, help="Show buckets.")


@app.callback()
def _buckets() -> None:
    """Show buckets."""


@app.command("list")
def list_buckets(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Include empty buckets that are ready to be deleted.")
    ] = False,
    lane: Annotated[str | None, typer.Option("--lane", help="Show this lane only.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Show this agent only.")] = None,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """List buckets with their state and their jobs."""
    for setting, name in (("lane", lane), ("agent", agent)):
        if name is not None:
            check_name(setting, name)
    named = find_cluster(Source(app, config, cluster, master))
    snapshot = read(take_snapshot, named)
    found = snapshot.found_buckets(every=every, lane=lane, agent=agent)
    if as_json:
        print_json(buckets_document(snapshot, found))
    else:
        console().print(bucket_table(snapshot, found) if found else "No buckets.")
    if not found:
        print_notes(read(bucket_notes, named, snapshot, lane=lane, agent=agent))
