"""Macros of the statements of masters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jobmaster.models import STANDALONE
from jobmaster.states import (
    BucketStatus,
    CodedEnum,
    JobStatus,
    ScheduleStatus,
    WorkerRequest,
    WorkerStatus,
)
from jobmaster_sql.driver import Dialect

_NEEDS_RESCUE: Final = """(EXISTS (
  SELECT 1 FROM {prefix}worker w
  WHERE w.cluster_id = :{{0}} AND w.status IN ({workers_running})
    AND (w.lease_until < {now} OR w.heartbeat_at - (w.lease_until - w.heartbeat_at) > {now})
)
OR EXISTS (
  SELECT 1 FROM {prefix}bucket b
  WHERE b.cluster_id = :{{0}} AND b.status <> {bucket_ready_to_delete}
    AND (b.status = {bucket_lost} OR NOT EXISTS (
      SELECT 1 FROM {prefix}worker w WHERE w.id = b.worker_id AND w.status IN ({workers_running})
    ))
)
OR EXISTS (
  WITH RECURSIVE held(bucket_id) AS (
    SELECT (SELECT bucket_id FROM {prefix}live WHERE bucket_id IS NOT NULL ORDER BY bucket_id LIMIT 1)
    UNION ALL
    SELECT (SELECT l.bucket_id FROM {prefix}live l WHERE l.bucket_id > held.bucket_id ORDER BY l.bucket_id LIMIT 1)
    FROM held WHERE held.bucket_id IS NOT NULL
  )
  SELECT 1 FROM held
  WHERE bucket_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = held.bucket_id AND b.status <> {bucket_ready_to_delete})
    AND EXISTS (SELECT 1 FROM {prefix}live l WHERE l.bucket_id = held.bucket_id AND l.cluster_id = :{{0}})
))"""
"""Whether there is anything to rescue, cheapest checks first; for the last one, see bucket_orphans."""

_IS_CANCELLING: Final = """EXISTS (
  SELECT 1 FROM {prefix}bucket b JOIN {prefix}live l ON l.bucket_id = b.id
  WHERE b.worker_id = {prefix}worker.id AND l.cancel_requested = 1
)"""


_CODED: Final[Mapping[str, type[CodedEnum]]] = {
    "job": JobStatus,
    "bucket": BucketStatus,
    "worker": WorkerStatus,
    "schedule": ScheduleStatus,
    "request": WorkerRequest,
}
CODE_MACROS: Final = {
    **{f"{kind}_{member}": str(member.code) for kind, states in _CODED.items() for member in states},
    "workers_running": f"{WorkerStatus.ACTIVE.code}, {WorkerStatus.STOPPING.code}",
}
"""The codes of states as they are stored, by names such as `job_processing` and `worker_lost`."""


def bucket_macros(dialect: Dialect, prefix: str) -> Mapping[str, str]:
    """Return the macros about buckets.

    They state whether the message of a live row, by its alias, lies on an agent; whether a cluster, by the name of a
    parameter, needs a rescue; and whether the buckets of the `worker` row contain jobs to be cancelled.
    """
    bucket = f"SELECT 1 FROM {prefix}bucket b WHERE b.id = {{0}}.bucket_id"  # noqa: S608 - a checked prefix
    return {
        "on_an_agent": f"EXISTS ({bucket} AND b.agent <> '{STANDALONE}')",
        "needs_rescue": _NEEDS_RESCUE.format(prefix=prefix, now=dialect.now, **CODE_MACROS),
        "is_cancelling": _IS_CANCELLING.format(prefix=prefix),
    }
