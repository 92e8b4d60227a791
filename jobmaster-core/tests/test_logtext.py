"""Numbers in log lines, and what they count."""

from __future__ import annotations

import logging
from uuid import UUID

import pytest

from jobmaster._pipeline.report import _log_stale
from jobmaster._runtime.rescuer import _log
from jobmaster._runtime.service import Service
from jobmaster._text.logtext import counted
from jobmaster._upkeep.rescue import RescueResult


def test_one_is_told_as_one() -> None:
    assert [counted(number, "job") for number in (0, 1, 2, 1000)] == [
        "0 jobs",
        "1 job",
        "2 jobs",
        "1,000 jobs",
    ]
    assert [counted(number, "was", "were") for number in (1, 2)] == ["1 was", "2 were"]


def test_a_rescue_of_one(caplog: pytest.LogCaptureFixture) -> None:
    _log(RescueResult(buckets=1, lost=1, released=1, orphans=1))
    _log(RescueResult(buckets=2, lost=0, released=0, orphans=2))

    assert [record.getMessage() for record in caplog.records] == [
        "rescued 1 bucket: 1 job may have been running, 1 waited, 1 was orphaned",
        "rescued 2 buckets: 0 jobs may have been running, 0 waited, 2 were orphaned",
    ]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 attempt was reported too late"),
        (2, "2 attempts were reported too late"),
    ],
)
def test_reports_that_came_too_late(count: int, said: str, caplog: pytest.LogCaptureFixture) -> None:
    _log_stale(frozenset(UUID(int=number) for number in range(count)))

    assert said in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize(("failures", "said"), [(1, "after 1 failure"), (2, "after 2 failures")])
async def test_a_loop_that_works_again(failures: int, said: str, caplog: pytest.LogCaptureFixture) -> None:
    async def tick() -> float | None:
        return None

    service = Service("loop", tick)
    service.failures = failures
    with caplog.at_level(logging.INFO, "jobmaster.service"):
        await service._safe_tick()

    assert caplog.messages == [f"loop: works again {said}"]
