"""The outside ledger: what handlers really did, written where no database and no crash can take it back.

One short line an event, appended with a single write, so that lines of many processes never mix and a
killed process leaves whole lines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from attrs import frozen

START = "start"
END = "end"
STOPPED = "stopped"
"""The handler was cancelled, or raised."""


@frozen
class Entry:
    """One event. `monotonic` counts seconds on the machine's clock, the same in all processes; `at` since 1970."""

    event: str
    job_id: UUID
    attempt: int
    worker: str
    pid: int
    monotonic: float
    at: float

    @property
    def run(self) -> tuple[UUID, int]:
        """The job and the number of its attempt."""
        return self.job_id, self.attempt


class Ledger:
    """Appends to a ledger file. Safe from any thread and process."""

    def __init__(self, path: Path | str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._pid = os.getpid()

    def write(self, event: str, job_id: UUID, attempt: int, worker: str) -> None:
        """Append an event that happens now."""
        moments = f"{time.monotonic():.6f} {time.time():.6f}"
        os.write(self._file, f"{event} {job_id.hex} {attempt} {worker} {self._pid} {moments}\n".encode())


class LedgerReader:
    """Reads a ledger file as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: list[Entry] = []
        self._started = 0
        self._offset = 0

    def entries(self) -> list[Entry]:
        """Return all entries up to now, in the order in which they were written."""
        if self.path.exists():
            new = list(self._read_on())
            self._entries += new
            self._started += sum(entry.event == START for entry in new)
        return self._entries

    def started(self) -> int:
        """Return the number of starts up to now."""
        self.entries()
        return self._started

    def _read_on(self) -> Iterator[Entry]:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._offset += len(whole)
        return (_parse(line) for line in whole.decode().splitlines())

    def starts(self) -> list[Entry]:
        """Return the starts up to now."""
        return [entry for entry in self.entries() if entry.event == START]

    def ends(self) -> list[Entry]:
        """Return the orderly ends up to now."""
        return [entry for entry in self.entries() if entry.event == END]


def _parse(line: str) -> Entry:
    event, job_id, attempt, worker, pid, monotonic, at = line.split()
    return Entry(event, UUID(job_id), int(attempt), worker, int(pid), float(monotonic), float(at))
