"""The columns of rows that several stores write, in the order of their values."""

from __future__ import annotations

from typing import Final

JOB_VALUES: Final = (
    "id",
    "cluster_id",
    "definition_id",
    "lane",
    "priority",
    "scheduled_at",
    "created_at",
    "timeout_us",
    "max_retries",
    "data",
    "metadata",
    "idempotency_key",
)
LIVE_VALUES: Final = ("job_id", "cluster_id", "bucket_id", "status", "delay", "lane", "priority")
ATTEMPT_VALUES: Final = (
    "job_id",
    "number",
    "cluster_id",
    "outcome",
    "final_status",
    "started_at",
    "finished_at",
    "worker",
    "host",
    "bucket_id",
    "error_type",
    "error_message",
    "error_traceback",
)
LOG_VALUES: Final = ("cluster_id", "at", "level", "message", "fields", "subject", "subject_id", "attempt")
