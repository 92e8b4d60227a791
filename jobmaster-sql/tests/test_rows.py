"""Values on their way into the database."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from jobmaster.models import LogLine
from jobmaster_sql.rows import clean, log_of, log_values, micros

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


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
