"""Values on their way into the database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from jobmaster.data import MessageData, Metadata
from jobmaster.models import Job, LogLine, evolve
from jobmaster.states import Priority
from jobmaster_sql.moving_rows import _TEXT
from jobmaster_sql.rows import clean, job_values, jobs_values, log_of, log_values, micros

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
JOB = Job(
    id=UUID(int=1),
    cluster_id="c",
    definition_id="d",
    lane="l",
    priority=Priority.MEDIUM,
    scheduled_at=AT,
    created_at=AT,
    timeout=1.5,
    max_retries=3,
    data=MessageData(b'{"n":1}'),
    metadata=Metadata(b'{"m":1}'),
    key=None,
)


@pytest.mark.parametrize(
    ("text", "stored"), [("plain ü 🚀", "plain ü 🚀"), ("nul \0", "nul ?"), ("half \ud800", "half ?")]
)
def test_quoted_text_becomes_text_that_can_be_stored(text: str, stored: str) -> None:
    assert clean(text) == stored


@pytest.mark.parametrize(
    ("seconds", "stored"), [(0, 0), (0.1, 100_000), (1e-7, 0), (86400.000001, 86400000001)]
)
def test_durations_are_whole_microseconds(seconds: float, stored: int) -> None:
    assert micros(seconds) == stored


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"a": 1, "b": [True, None]}, {"a": 1, "b": [True, None]}),
        ({"path": AT.time(), 3: {1}}, {"path": "03:04:05.000006", "3": "{1}"}),
        ({"half": "\ud800"}, {"unreadable": "{'half': '\\ud800'}"}),
    ],
)
def test_log_fields_are_stored_whatever_they_are(fields: dict[Any, Any], stored: dict[str, Any]) -> None:
    values = log_values("cluster", LogLine(at=AT, level="info", message="m", fields=fields))

    assert orjson.loads(values[4]) == stored


def test_a_log_line_comes_back() -> None:
    line = LogLine(
        at=AT, level="warning", message="m", fields={"n": 1}, subject="worker", subject_id="w", attempt=2
    )

    assert log_of(log_values("cluster", line)[1:]) == line


@pytest.mark.parametrize(
    "change",
    [
        {"cluster_id": "other"},
        {"definition_id": "other"},
        {"lane": "other"},
        {"priority": Priority.HIGH},
        {"scheduled_at": AT + timedelta(hours=1)},
        {"created_at": AT - timedelta(hours=1)},
        {"timeout": None},
        {"max_retries": 4},
        {"data": MessageData(b'{"n":2}')},
        {"metadata": Metadata(b"{}")},
        {"key": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_jobs_are_stored_together_as_they_are_one_by_one(change: dict[str, Any]) -> None:
    other = evolve(JOB, id=UUID(int=2), **change)
    jobs = [JOB, evolve(JOB, id=UUID(int=3)), other, evolve(other, id=UUID(int=4)), JOB]

    assert jobs_values(jobs, _TEXT) == [job_values(job, _TEXT) for job in jobs]
