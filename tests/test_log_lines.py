"""Log lines on every kind of store: whatever a handler logs, its attempt ends as it ended, and the lines are there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from jobmaster import Cluster, JobContext, JobStatus, handler
from jobmaster_testing.servers import postgres_url

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


def drawn(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return lines of any text, with lone surrogates among it, the same ones each time."""
    chance = random.Random(4711)

    def text() -> str:
        return "".join(chr(chance.choice([chance.randrange(0x110000), 0xD800, 0])) for _ in range(20))

    return [(text(), {text(): text(), "half": chance.random()}) for _ in range(count)]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    urls = {"memory": f"memory://{uuid4().hex}", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}
    return urls.get(request.param) or postgres_url()


class Detached:
    """A row whose session is gone."""

    def __repr__(self) -> str:
        raise RuntimeError("detached")


NASTY: list[tuple[str, dict[str, Any]]] = [
    ("nul \0 and half \ud800", {"nul \0": "\0", "half \udfff": "\ud800"}),
    (
        "row",
        {"row": Detached(), "rows": [Detached()], "bytes": b"\0\xff", "big": 10**5000, "nan": float("nan")},
    ),
    ("x" * 1_000_000, {"x": "y" * 1_000_000}),
    ("nested", {"deep": {"a": [1, {2: {3}}]}, "name": "Ann", "message": "mine"}),
]


@pytest.mark.parametrize("fails", [False, True])
async def test_whatever_is_logged_the_attempt_ends_as_it_ended_and_its_lines_are_there(
    url: str, fails: bool
) -> None:
    logged = [*NASTY, *drawn(20)]

    @handler("Store.Logs", max_retries=0)
    async def logs(job: JobContext) -> None:
        for text, extra in logged:
            job.logger.info("%s", text, extra=extra)
        if fails:
            raise ValueError("as it ended")

    made = Cluster.standalone(f"Logs-{uuid4().hex[:8]}", url).add_handlers(logs).add_worker(parallelism=0.1)
    async with made.running() as runtime:
        receipt = await runtime.scheduler.once_now(logs)
        job = await runtime.jobs.wait(receipt.job_id, 15)

    assert job.status is (JobStatus.FAILED if fails else JobStatus.SUCCEEDED)
    [attempt] = job.attempts
    assert (attempt.error is not None and attempt.error.message == "as it ended") == fails
    assert len(job.logs) == len(logged)
    first, second, long, _ = job.logs[:4]
    assert (first.message, dict(first.fields)) == (
        "nul \\0 and half \\ud800",
        {"nul \\0": "\\0", "half \\udfff": "\\ud800"},
    )
    assert second.fields["row"] == "<Detached that cannot be shown: RuntimeError>"
    assert second.fields["nan"] == "nan"
    assert long.message.endswith("… (cut, 990000 characters)")
