"""Rows written by a clock that has gone back since: although due, they would wait until the clock reaches that time again.

The store's clock is the host's. Where it was ahead, jobs that are due at once are due in the future, and so are retries.
They are found when a process begins, and when it sees the clock go back, and become due by the current clock. A job
scheduled for a moment stays there: that is a moment by the clock, whatever the clock shows on the way.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from jobmaster_sql import Answer, Query, Unit
from jobmaster_sqlite.connection import now

SLACK: Final = 1_000_000
"""Microseconds that a clock may go back unnoticed."""


class Ahead:
    """Observes the clock now and then, and tells when to look for rows ahead of it."""

    def __init__(self) -> None:
        self._last: int | None = None

    def is_to_be_looked_for(self) -> bool:
        """Return whether this is the first call, or the clock has gone back since the last one."""
        before, self._last = self._last, now()
        return before is None or before - self._last > SLACK


def recall_jobs(now: int) -> Unit[int]:
    """Make jobs of a master due that were postponed by a clock ahead of now; return their number."""
    # Ids begin with the time: only jobs with later ids can be due at once and lie ahead, so the table need not be scanned.
    params = {"floor": str(UUID(int=(now + SLACK) // 1000 << 80)), "slack": SLACK}
    answers: list[Answer] = yield (
        Query("live_ahead", params),
        Query("live_ahead_again", {"slack": SLACK}, last=True),
    )
    return sum(answer.touched for answer in answers)


def recall_messages() -> Unit[int]:
    """Make messages of an agent due that were postponed by a clock ahead of now; return their number."""
    answer: Answer = yield Query("message_ahead", {"slack": SLACK}, last=True)
    return answer.touched
