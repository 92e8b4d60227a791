"""Hosts whose clock is wrong for a while: nothing is deleted for good, and what is due now runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from tests.e2e.clock_app import JOBS, make_cluster, work
from tests.e2e.clocks import HostClock
from tests.e2e.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DAY = 86_400

Tell = Callable[[str], str]


class Host:
    """A process that stands for a host: it is told what to do, line by line, and answers."""

    def __init__(self, url: str, clock: HostClock) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.clock_app", url],
            cwd=ROOT,
            env=dict(clock.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "up"

    def tell(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def shut_down(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture
def clock(tmp_path: Path) -> HostClock:
    return HostClock(tmp_path)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def boot(url: str, clock: HostClock) -> Iterator[Callable[[], Host]]:
    hosts: list[Host] = []

    def boot() -> Host:
        hosts.append(Host(url, clock))
        return hosts[-1]

    yield boot
    for host in hosts:
        host.shut_down()


async def _look(url: str) -> tuple[int, bool, float]:
    """Return how many jobs there are, whether a key is still known, and in how many days the schedule fires next."""
    async with make_cluster(url).running(workers=False) as runtime:
        there = await runtime.jobs.count(handler=work)
        receipt = await runtime.scheduler.once_now(work, key="key-7")
        (schedule,) = await runtime.schedules.query()
        assert schedule.next_at is not None
        ahead = schedule.next_at - datetime.now(UTC)
        return there, not receipt.created, ahead.total_seconds() / DAY


@pytest.mark.parametrize("ahead", [40 * DAY, 400 * DAY])
def test_a_host_that_boots_with_its_clock_ahead_deletes_nothing(
    url: str, clock: HostClock, boot: Callable[[], Host], ahead: int
) -> None:
    """For some seconds, as until it has heard of the time. Nor are the schedule's times up to then over."""
    host = boot()
    assert host.tell("finish").startswith("finish")
    host.shut_down()

    clock.step(ahead)
    host = boot()
    host.tell("one")
    clock.step(0)
    host.tell("one")

    there, is_known, days = anyio.run(_look, url)
    assert there >= JOBS
    assert is_known
    assert days < 1


@pytest.mark.parametrize("step", [-DAY, -3600, 3600])
def test_what_is_due_now_runs_although_the_clock_is_set(
    clock: HostClock, boot: Callable[[], Host], step: int
) -> None:
    """What waits in its bucket, and what comes."""
    host = boot()
    host.tell("one")
    host.tell("many")
    clock.step(step)

    assert host.tell("one").startswith("one")
    assert host.tell("settle").startswith("settle")
