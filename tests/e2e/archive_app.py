"""A worker process that archives: `python -m tests.e2e.archive_app`, told by its environment."""

from __future__ import annotations

import json
import logging
import os

import anyio

from jobmaster import Cluster
from tests.e2e import worker_app
from tests.e2e.config import Config
from tests.e2e.mover_app import TARGET


def build(config: Config, cluster_id: str) -> Cluster:
    """Return a cluster of this process that archives what is past its retention."""
    return worker_app.build(config, cluster_id).archive_to(*json.loads(os.environ[TARGET]))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d %(name)s %(levelname)s %(message)s")
    told = Config.from_environment()
    anyio.run(worker_app.main, told, build, backend=told.backend)
