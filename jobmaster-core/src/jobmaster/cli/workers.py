"""`jobmaster workers`: looking at workers, and asking them to leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from jobmaster.cli.output import JsonOption, print_json
from jobmaster.cli.reading import read, run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cli.steering import asked
from jobmaster.cli.tables import no_worker, worker_table
from jobmaster.cli.terminal import console
from jobmaster.inspection.documents import workers_document
from jobmaster.inspection.snapshot import take_snapshot
from jobmaster.states import WorkerRequest

app = typer.Typer(no_args_is_help=True, help="Show, stop and drain workers.")

_IF_IT_IS_BACK: Final = "its lease has run out; if its process still exists, it stops when it resumes"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The worker's name.")]


@app.command("list")
def list_workers(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Include workers that stopped or were lost a short while ago.")
    ] = False,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """List the workers that run, the newest first."""
    snapshot = read(take_snapshot, find_cluster(Source(app, config, cluster, master)))
    found = snapshot.listed(every=every)
    if as_json:
        print_json(workers_document(snapshot, found))
    else:
        console().print(worker_table(snapshot, found) if found else no_worker(snapshot))


def _command(request: WorkerRequest, follows: str) -> Callable[..., None]:
    """Return a command that asks the workers of a name for something; `follows` says what they do then."""

    def ask(
        name: NameArgument,
        *,
        as_json: JsonOption = False,
        app: AppOption = None,
        config: ConfigOption = None,
        cluster: ClusterOption = None,
        master: MasterOption = None,
    ) -> None:
        found = find_cluster(Source(app, config, cluster, master))
        answer = run_async(asked, found, name, request)
        if as_json:
            print_json({"request": str(request), "workers": [str(worker_id) for worker_id in answer.ids]})
        else:
            several = f"{len(answer.ids)} workers named " if len(answer.ids) > 1 else ""
            when = _IF_IT_IS_BACK if answer.lost else follows
            console().print(f"Asked {several}{name} to {request}: {when}.")

    return ask


app.command("stop", help="Stop a worker gracefully, wherever it runs. It stays stopped.")(
    _command(WorkerRequest.STOP, "running jobs get the grace period, the others go back")
)
app.command("drain", help="Drain a worker: it takes no new jobs, finishes those in its buckets, and stops.")(
    _command(WorkerRequest.DRAIN, "it finishes the jobs in its buckets, then stops")
)
