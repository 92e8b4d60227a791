"""A worker process with static schedules: `python -m tests.e2e.recurring_app`, told by its environment."""

from __future__ import annotations

import logging
from datetime import timedelta

import anyio

from jobmaster import Cluster, Cron, StaticSchedule
from jobmaster.schedule_rules import RuleOptions
from tests.e2e import worker_app
from tests.e2e.config import Config

ALL: RuleOptions = {"overlap": "queue", "misfire": "run_all(1000)"}
"""Settings under which each time is run, sooner or later."""

STATIC = (
    StaticSchedule("StaticInterval", worker_app.noop, timedelta(seconds=1), **ALL),
    StaticSchedule("StaticNatural", worker_app.noop, "every 2 seconds", **ALL),
    StaticSchedule("StaticCron", worker_app.noop, Cron("*/2 * * * * *"), **ALL),
)


def build(config: Config, cluster_id: str) -> Cluster:
    """Return a cluster of this process, with the static schedules."""
    return worker_app.build(config, cluster_id).add_schedules(*STATIC)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d %(name)s %(levelname)s %(message)s")
    told = Config.from_environment()
    anyio.run(worker_app.main, told, build, backend=told.backend)
