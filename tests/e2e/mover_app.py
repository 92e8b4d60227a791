"""A process that moves its cluster: `python -m tests.e2e.mover_app`, told by its environment. 0 is all moved."""

from __future__ import annotations

import json
import logging
import os
import sys

import anyio

from tests.e2e.config import Config

log = logging.getLogger("e2e")

TARGET = "E2E_TARGET"
"""The variable with the target's URL and id, as a JSON list."""


async def main(config: Config, url: str, cluster_id: str) -> int:
    async with config.producer().running(workers=False) as runtime:
        target = runtime.cluster.target(url, cluster_id, mode="active")
        summary = await runtime.move(target, patience=20)
    log.info("%s", summary)
    return 0 if summary.is_complete else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d %(name)s %(levelname)s %(message)s")
    told = Config.from_environment()
    sys.exit(anyio.run(main, told, *json.loads(os.environ[TARGET]), backend=told.backend))
