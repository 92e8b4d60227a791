"""How the values of rows are checked: by name, each with its place in the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jobmaster.states import (
    AttemptOutcome,
    BucketStatus,
    ClusterMode,
    JobStatus,
    WorkerMode,
    WorkerRequest,
    WorkerStatus,
)
from jobmaster_sql.cells import (
    Check,
    is_code_of,
    is_epoch,
    is_id,
    is_list,
    is_moment,
    is_object,
    is_priority,
    is_span,
)

RECORD_WIDTH: Final = 10
"""Number of columns of a job record before those of its job."""

JOB_CHECKS: Final[Mapping[str, tuple[int, Check]]] = {
    "id": (0, is_id),
    "priority": (4, is_priority),
    "scheduled_at": (5, is_moment),
    "created_at": (6, is_moment),
    "timeout": (7, is_span),
    "data": (9, is_object),
    "metadata": (10, is_object),
}
"""How the values of a row of `JOB_COLUMNS` are checked."""
_NO_STATUS: Final = "is not known: the job has neither a live row nor a last attempt"
_is_status = is_code_of(JobStatus)
RECORD_CHECKS: Final[Mapping[str, tuple[int, Check]]] = {
    "status": (0, lambda code: _NO_STATUS if code is None else _is_status(code)),
    "ready_at": (1, is_moment),
    "finished_at": (2, is_moment),
    "bucket_id": (5, is_id),
    "schedule_id": (8, is_id),
    "nominal_at": (9, is_moment),
    **{name: (RECORD_WIDTH + place, check) for name, (place, check) in JOB_CHECKS.items()},
}
ATTEMPT_CHECKS: Final[Mapping[str, tuple[int, Check]]] = {
    "outcome": (1, is_code_of(AttemptOutcome)),
    "started_at": (2, is_moment),
    "finished_at": (3, is_moment),
}
BUCKET_CHECKS: Final[Mapping[str, tuple[int, Check]]] = {
    "priority": (5, is_priority),
    "epoch": (6, is_epoch),
    "status": (7, is_code_of(BucketStatus)),
    "created_at": (11, is_moment),
    "status_changed_at": (12, is_moment),
}
WORKER_CHECKS: Final[Mapping[str, tuple[int, Check]]] = {
    "mode": (5, is_code_of(WorkerMode)),
    "status": (9, is_code_of(WorkerStatus)),
    "started_at": (11, is_moment),
    "heartbeat_at": (12, is_moment),
    "lease_until": (13, is_moment),
    "request": (14, is_code_of(WorkerRequest)),
}
CLUSTER_CHECKS: Final[Mapping[str, tuple[int, Check]]] = {
    "mode": (1, is_code_of(ClusterMode)),
    "settings": (2, is_object),
    "created_at": (3, is_moment),
    "changes": (4, is_object),
    "paused_lanes": (5, is_list),
}
