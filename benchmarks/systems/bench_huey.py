"""huey on SQLite."""

from __future__ import annotations

import logging
import time
from typing import Any
from urllib.parse import urlsplit

import _protocol as protocol
from _sync import Data, OnJob, SyncSystem
from huey import SqliteHuey

WORKERS = 1
POLL = 0.1


class HueySystem(SyncSystem):
    """One consumer with one worker thread: more of them only compete for the file's lock."""

    about = protocol.About(
        packages=("huey",),
        settings={
            "workers": f"{WORKERS} thread",
            "journal": "WAL",
            "fsync": True,
            "poll": f"{POLL} s and longer",
        },
        history="none: a task is deleted when it is taken",
        bulk=False,
    )

    def connect(self) -> None:
        """Open the file, and declare the task."""
        logging.getLogger("huey").setLevel(logging.WARNING)
        path = urlsplit(self.url).path.removeprefix("/")
        self._huey = SqliteHuey("bench", filename=path, fsync=True, timeout=60, results=False)
        self._on_job: OnJob = lambda _: None

        @self._huey.task(name="noop")
        def noop(**data: Any) -> None:
            self._on_job(data)

        self._noop = noop

    def setup(self) -> None:
        """Create the tables, as opening does."""
        self.connect()

    def schedule(self, data: Data) -> None:
        """Schedule one job."""
        self._noop(**data)

    def serve(self, on_job: OnJob) -> None:
        """Start the consumer."""
        self._on_job = on_job
        self._consumer = self._huey.create_consumer(workers=WORKERS, initial_delay=POLL, periodic=False)
        self._consumer.start()

    def drain(self, drain: protocol.Drain) -> None:
        """Run a consumer until the store is empty and no task starts any more."""
        self.serve(drain)
        while not drain.may_be_over() or self._huey.pending_count():
            time.sleep(0.005)

    def sent(self, job: Data) -> int:
        """Return when a job was sent."""
        return int(job["sent"])

    def count(self) -> tuple[int | None, int]:
        """Return how many jobs wait; finished ones leave nothing behind."""
        return None, self._huey.pending_count()


if __name__ == "__main__":
    HueySystem(protocol.parse_options()).main()
