"""`jobmaster lane`: pausing and resuming lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from jobmaster.cli.output import JsonOption, print_json, print_note
from jobmaster.cli.reading import read, run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.steering import lane_changed
from jobmaster.cli.terminal import console, table
from jobmaster.config import check_name
from jobmaster.contracts import ClusterChange
from jobmaster.inspection.documents import lanes_document
from jobmaster.inspection.snapshot import take_snapshot

app = typer.Typer(no_args_is_help=True, help="Show, pause and resume lanes.")

LaneArgument = Annotated[str, typer.Argument(metavar="LANE", help="The lane's name.")]


@app.command("list")
def list_lanes(
    *,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """List the lanes that running workers serve, and those that are paused."""
    snapshot = read(take_snapshot, find_cluster(Source(app, config, cluster, master)))
    found = snapshot.lanes()
    if as_json:
        print_json(lanes_document(found))
    else:
        rows = [(one.name, "paused" if one.paused else "active", one.workers) for one in found]
        console().print(table("Lanes", ("Lane", "Status", ">Workers"), rows) if rows else "No lanes.")


def _command(change: Callable[[Sequence[str]], ClusterChange], follows: str) -> Callable[..., None]:
    """Return a command that changes one lane; `follows` says what its jobs do then."""

    def command(
        lane: LaneArgument,
        *,
        as_json: JsonOption = False,
        app: AppOption = None,
        config: ConfigOption = None,
        cluster: ClusterOption = None,
        master: MasterOption = None,
    ) -> None:
        found = find_cluster(Source(app, config, cluster, master))
        record, note = run_async(lane_changed, found, change([check_name("lane", lane)]), lane)
        if as_json:
            print_json({"paused_lanes": sorted(record.paused_lanes)})
        else:
            console().print(f"Jobs of lane {lane} {follows}.")
        if note:
            print_note(note)

    return command


app.command("pause", help="Pause a lane. Its jobs wait, and its workers suspend.")(
    _command(lambda lanes: ClusterChange(pause=lanes), "wait until it is resumed")
)
app.command("resume", help="Resume a paused lane. Its jobs run again.")(
    _command(lambda lanes: ClusterChange(resume=lanes), "run")
)
