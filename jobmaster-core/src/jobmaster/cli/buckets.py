"""`jobmaster buckets`: looking at buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from jobmaster.cli.output import JsonOption, console, print_json
from jobmaster.cli.picture import look
from jobmaster.cli.reading import run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.tables import bucket_table, plain_bucket
from jobmaster.states import BucketStatus

app = typer.Typer(no_args_is_help=True, help="Look at buckets.")


@app.callback()
def _buckets() -> None:
    """Look at buckets."""


@app.command("list")
def list_buckets(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that are empty and ready to be deleted.")
    ] = False,
    lane: Annotated[str | None, typer.Option("--lane", help="Only of this lane.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only on this agent.")] = None,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """List buckets with their state, and what they hold."""
    picture = run_async(look, find_cluster(Source(app, config, cluster, master)))
    found = [
        one
        for one in picture.buckets
        if (every or one.status is not BucketStatus.READY_TO_DELETE)
        and lane in (None, one.lane)
        and agent in (None, one.agent)
    ]
    if as_json:
        print_json({"buckets": [plain_bucket(picture, one) for one in found]})
    else:
        console().print(bucket_table(picture, found) if found else "No buckets.")
