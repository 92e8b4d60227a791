"""`jobmaster worker`: running a cluster's workers until a signal says stop."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from attrs import evolve

from jobmaster.cli.logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, set_up_logging
from jobmaster.cli.reading import Backend, BackendOption, run_async
from jobmaster.cli.serving import Watchdog, leave, serve_until_signalled
from jobmaster.cli.source import (
    AppArgument,
    AppOption,
    ClusterOption,
    ConfigOption,
    MasterOption,
    Source,
    find_cluster,
    named_once,
)
from jobmaster.cluster import Cluster
from jobmaster.config import said_twice
from jobmaster.errors import ConfigurationError
from jobmaster.states import WorkerMode

NameOption = Annotated[str | None, typer.Option("--name", help="The worker's name, unique in the cluster.")]
AgentOption = Annotated[
    str | None, typer.Option("--agent", help="The agent of its buckets, if the cluster has several.")
]
LaneOption = Annotated[str | None, typer.Option("--lane", help="The lane it serves.")]
ModeOption = Annotated[WorkerMode | None, typer.Option("--mode", help="The duties it takes.")]
ParallelismOption = Annotated[
    float | None,
    typer.Option("--parallelism", help="The factor that multiplies the slots of every priority."),
]
ConcurrencyOption = Annotated[
    int | None,
    typer.Option(
        "--concurrency", help="The number of jobs of medium priority that run at once in one bucket."
    ),
]
GraceOption = Annotated[
    float | None,
    typer.Option("--grace", min=0, metavar="SECONDS", help="The time that running jobs get after a stop."),
]


def worker(
    argument: AppArgument = None,
    *,
    app: AppOption = None,
    name: NameOption = None,
    agent: AgentOption = None,
    lane: LaneOption = None,
    mode: ModeOption = None,
    parallelism: ParallelismOption = None,
    concurrency: ConcurrencyOption = None,
    backend: BackendOption = Backend.ASYNCIO,
    grace: GraceOption = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.TEXT,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Run the cluster's workers until SIGTERM or SIGINT (Ctrl-C).

    The signal stops them gracefully: no new jobs, running ones get the grace period, the others go back
    without using a retry. A second signal ends the process at once.

    A cluster that has no worker gets one. The options override the settings of the cluster's workers.
    """
    set_up_logging(log_level, log_format)
    found = find_cluster(Source(named_once(argument, app), config, cluster, master))
    given: dict[str, Any] = {"name": name, "agent": agent, "lane": lane, "mode": mode}
    given |= {"parallelism": parallelism, "concurrency": concurrency}
    apply_options(found, {option: value for option, value in given.items() if value is not None})
    if grace is not None:
        found.configure(stop_grace=grace)
    watchdog = Watchdog()
    try:
        run_async(serve_until_signalled, found, watchdog, backend=backend)
    finally:
        watchdog.dismiss()
    leave()


def apply_options(cluster: Cluster, given: dict[str, Any]) -> None:
    """Override the settings of all workers, after adding one if there is none."""
    if not cluster.workers:
        cluster.add_worker(**given)
        return
    if "name" in given and len(cluster.workers) > 1:
        msg = f"--name: the cluster has {len(cluster.workers)} workers, and names are unique; leave it out"
        raise ConfigurationError(msg)
    if "parallelism" in given and "concurrency" in given:
        raise said_twice()
    if "parallelism" in given or "concurrency" in given:  # what the cluster says about either counts no more
        given = {"parallelism": None, "concurrency": None, **given}
    cluster.workers[:] = [evolve(settings, **given) for settings in cluster.workers]
