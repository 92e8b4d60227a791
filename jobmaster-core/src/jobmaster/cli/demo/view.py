"""What the demo shows, in a terminal and in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from jobmaster import Cluster, JobRecord
from jobmaster.cli.demo.cases import named
from jobmaster.cli.output import duration
from jobmaster.cli.terminal import state, table
from jobmaster.urls import scheme_of, shown

if TYPE_CHECKING:
    from jobmaster.cli.demo.run import Audited, Burst

LINE_EVERY = 1.0
"""Seconds between two lines of progress where there is no terminal."""

Show = Callable[[int, int], None]
"""Shows how many jobs of the burst, and how many single ones, have finished."""


def show_intro(console: Console, cluster: Cluster, url: str, jobs: int) -> None:
    """Say what is about to happen."""
    scheme = scheme_of(url)
    console.print(f"JobMaster demo: cluster {cluster.id} on {scheme}, one worker", style="bold")
    console.print(
        "Scheduling one job of each kind (priorities, delay, retry, failure, timeout, cancellation, key) "
        f"and a burst of {jobs:,}, then reading from the database how each of them ended."
    )
    console.print()


@contextmanager
def progress(console: Console, burst: int, cases: int) -> Iterator[Show]:
    """Show progress within the block: bars in a terminal, else a line now and then."""
    if not console.is_terminal:
        yield _lines(console, burst, cases)
        return
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        single = bars.add_task("single jobs", total=cases)
        many = bars.add_task("burst", total=burst)

        def show(of_burst: int, of_cases: int) -> None:
            bars.update(many, completed=of_burst)
            bars.update(single, completed=of_cases)

        yield show
    console.print()


def _lines(console: Console, burst: int, cases: int) -> Show:
    shown = -LINE_EVERY

    def show(of_burst: int, of_cases: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= LINE_EVERY or (of_burst, of_cases) == (burst, cases):
            shown = now
            console.print(
                f"finished: {of_cases} of {cases} single jobs, {of_burst:,} of {burst:,} of the burst"
            )

    return show


def show_audit(console: Console, audit: Sequence[Audited], burst: Burst) -> None:
    """Show for each kind of job how it should have ended and how it did."""
    rows = [_case_row(one) for one in audit]
    rows.append(_burst_row(burst))
    columns = ("Kind", "Expected", "Found", "Attempts", "Verdict")
    console.print(table("Audit", columns, rows))


def _case_row(one: Audited) -> Sequence[Any]:
    outcomes = named([attempt.outcome for attempt in one.job.attempts])
    return one.case.title, one.case.status, state(one.job.status), outcomes, _verdict(one.difference)


def _burst_row(burst: Burst) -> Sequence[Any]:
    found = ", ".join(f"{count:,} {status}" for status, count in burst.counts.items())
    once = burst.counts.total() - burst.more_attempts
    kind = f"burst of {burst.size:,}"
    return kind, "succeeded", found, f"one each: {once:,}", _verdict(burst.difference)


def _verdict(difference: str | None) -> Text:
    return Text("ok", style="green") if difference is None else Text("differs", style="bold red")


def show_timeline(console: Console, job: JobRecord) -> None:
    """Show the attempts of a job along the time since it was scheduled."""
    rows = [
        (
            attempt.number,
            f"+{duration((attempt.started_at - job.created_at).total_seconds())}"
            if attempt.started_at
            else "",
            state(attempt.outcome),
            attempt.error.traceback.rstrip().rpartition("\n")[2] if attempt.error else "",
        )
        for attempt in job.attempts
    ]
    columns = (">Attempt", ">Started after", "Outcome", "Last line of its traceback")
    console.print()
    console.print(table(f"The job that was retried ({job.id})", columns, rows))


def show_throughput(console: Console, burst: Burst) -> None:
    """Show how fast the burst was scheduled and run."""
    console.print()
    console.print("Throughput of the burst", style="bold")
    console.print(f"  scheduled in one call: {_rate(burst.size, burst.scheduling)}")
    console.print(f"  first scheduled to last ended: {_rate(burst.size, burst.running)}")


def _rate(jobs: int, seconds: float) -> str:
    return f"{jobs / seconds:,.0f} jobs/s ({duration(seconds)})" if seconds > 0 else "too fast to tell"


def show_where(console: Console, cluster: Cluster) -> None:
    """Say how to look at what was kept; not for a memory that ends with the process."""
    if cluster.master_url.startswith("memory:"):
        return
    where = shown(cluster.master_url)
    master = where if where == cluster.master_url else "URL"
    console.print(
        f"\nKept. Look at it with:\n  jobmaster jobs list --cluster {cluster.id} --master {master}",
        soft_wrap=True,
    )


def show_verdict(console: Console, jobs: int, differences: Sequence[str]) -> None:
    """Say whether every job ended as it should, and what differs."""
    console.print()
    if not differences:
        console.print(f"All {jobs:,} jobs ended as they should.", style="bold green")
        return
    console.print("Not every job ended as it should:", style="bold red")
    for difference in differences:
        console.print(f"  {difference}", soft_wrap=True)
