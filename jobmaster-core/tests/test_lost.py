"""What is told of an attempt that was lost with its worker: whether it started, and no more than is known."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from jobmaster import Attempt, AttemptOutcome
from jobmaster._policy.lost import lost_error
from jobmaster.cli.job_views import attempt_table

STARTED = datetime(2026, 1, 31, 12, tzinfo=UTC)

starts = st.none() | st.datetimes(timezones=st.just(UTC))


@given(st.text(), starts)
def test_only_a_start_on_record_is_told_of_as_a_run(worker: str, started_at: datetime | None) -> None:
    error = lost_error(worker, started_at)

    assert error.type == "jobmaster.Lost"
    assert ("while the attempt was running" in error.message) == (started_at is not None)
    assert ("it is not known whether the attempt had started" in error.message) == (started_at is None)
    assert worker in error.message


@pytest.mark.parametrize(("started_at", "shown"), [(None, "not known"), (STARTED, "2026-01-31 12:00:00Z")])
def test_people_see_whether_a_lost_attempt_had_started(started_at: datetime | None, shown: str) -> None:
    attempt = Attempt(
        number=1,
        outcome=AttemptOutcome.LOST,
        started_at=started_at,
        finished_at=STARTED,
        worker="w1",
        host="",
        bucket_id=None,
        error=lost_error("w1", started_at),
    )
    out = StringIO()

    Console(file=out, width=200).print(attempt_table([attempt]))

    [row] = [line for line in out.getvalue().splitlines() if "lost" in line and "w1" in line]
    assert shown in row
    assert lost_error("w1", started_at).message in row
