"""The error recorded for an attempt whose worker was lost: what is known, and no more."""

from __future__ import annotations

from datetime import datetime

from jobmaster.models import AttemptError

LOST = "jobmaster.Lost"


def lost_error(worker: str, started_at: datetime | None) -> AttemptError:
    """Return the error of an attempt that `worker` (its name, or empty) had in flight when it was lost."""
    who = f"worker {worker}" if worker else "its worker"
    if started_at is None:
        known = "while it held the job; it is not known whether the attempt had started"
    else:
        known = "while the attempt was running: its start is on record and its end is not"
    return AttemptError(type=LOST, message=f"{who} was lost {known}")
