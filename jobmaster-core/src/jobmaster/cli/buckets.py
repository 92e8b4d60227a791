"""`jobmaster buckets`: looking at buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from jobmaster.cli.output import JsonOption, print_json, print_notes
from jobmaster.cli.reading import run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.tables import bucket_table
from jobmaster.cli.terminal import console
from jobmaster.cluster import Cluster
from jobmaster.config import check_name
from jobmaster.inspection.documents import bucket_document
from jobmaster.inspection.opening import opened
from jobmaster.inspection.slips import agent_note, notes_on
from jobmaster.inspection.snapshot import Picture, look
from jobmaster.models import STANDALONE
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
    for setting, name in (("lane", lane), ("agent", agent)):
        if name is not None:
            check_name(setting, name)
    named = find_cluster(Source(app, config, cluster, master))
    picture = run_async(look, named)
    found = [
        one
        for one in picture.buckets
        if (every or one.status is not BucketStatus.READY_TO_DELETE)
        and lane in (None, one.lane)
        and agent in (None, one.agent)
    ]
    if as_json:
        print_json({"buckets": [bucket_document(picture, one) for one in found]})
    else:
        console().print(bucket_table(picture, found) if found else "No buckets.")
    if not found:
        print_notes(run_async(_notes, named, picture, lane, agent))


async def _notes(cluster: Cluster, picture: Picture, lane: str | None, agent: str | None) -> list[str]:
    """Return a note for each of the names that nobody knows."""
    known = {
        STANDALONE,
        *(one.record.name for one in picture.agents),
        *(one.agent for one in picture.buckets),
    }
    async with opened(cluster) as master:
        notes = await notes_on(cluster, master, picture.cluster, lane=lane)
    about_agent = agent_note(agent, known) if agent is not None else ""
    return [*notes, about_agent] if about_agent else notes
