"""Jobs as JSON, and as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from jobmaster.cli.output import console, duration, short, state, table
from jobmaster.converters import stored, to_plain
from jobmaster.models import Attempt, JobRecord, LogLine

# For programs


def summary(job: JobRecord) -> dict[str, Any]:
    """Return the JSON form of a job in a list; its keys are documented and stay."""
    return {name: value for name, value in as_plain(job).items() if name not in _ONLY_OF_ONE}


def as_plain(job: JobRecord) -> dict[str, Any]:
    """Return the JSON form of a job with data, attempts and logs."""
    plain: dict[str, Any] = to_plain(job)
    return plain


_ONLY_OF_ONE = frozenset({"data", "attempts", "logs"})


# For people


def show_jobs(jobs: Sequence[JobRecord], following: str | None) -> None:
    """Print a page of jobs."""
    out = console()
    if not jobs:
        out.print("No jobs match.")
        return
    columns = ("ID", "Handler", "Status", "Priority", "Lane", "Scheduled", ">Attempt", "Note")
    out.print(table("", columns, [_row(job) for job in jobs]))
    if following:
        out.print(f"There may be more: --after {following}")


def _row(job: JobRecord) -> Sequence[Any]:
    # What can be done about it stands behind a semicolon, and has no room here.
    note = (job.reason or "").partition(";")[0] or ("cancellation requested" if job.cancel_requested else "")
    priority = job.priority.name.lower()
    when = short(job.scheduled_at)
    return job.id, job.definition_id, state(job.status), priority, job.lane, when, job.attempt, note


def show_job(job: JobRecord) -> None:
    """Print all about a job."""
    out = console()
    out.print(f"Job {job.id}", style="bold")
    print_pairs(out, _facts(job))
    for title, values in (("Data", job.data), ("Metadata", job.metadata)):
        if values:
            out.print(f"\n{title}", style="bold")
            print_pairs(out, ((name, readable(value)) for name, value in stored(values).items()))
    if job.attempts:
        out.print()
        out.print(attempt_table(job.attempts))
    _print_errors(out, job.attempts)
    _print_logs(out, job.logs)


def _facts(job: JobRecord) -> Iterator[tuple[str, Any]]:
    limit = duration(job.timeout) if job.timeout is not None else "none"
    pairs = {
        "handler": job.definition_id,
        "status": state(job.status),
        "note": job.reason or ("cancellation requested" if job.cancel_requested else ""),
        "priority": job.priority.name.lower(),
        "lane": job.lane,
        "created": short(job.created_at),
        "scheduled": short(job.scheduled_at),
        "due": short(job.ready_at),
        "finished": short(job.finished_at),
        "timeout": limit,
        "retries": f"at most {job.max_retries}",
        "key": job.key,
    }
    return ((name, value) for name, value in pairs.items() if value)


def print_pairs(out: Console, pairs: Iterator[tuple[str, Any]]) -> None:
    """Print names and values below one another."""
    for name, value in pairs:
        out.print(Text.assemble(f"  {name:<12}", value if isinstance(value, Text) else str(value)))


def readable(value: Any) -> str:
    """Return a stored value as text: typed ones without their wrapping."""
    if isinstance(value, Mapping) and "$" in value:
        inner = value.get("v", value.get("us"))
        return f"{readable(inner)} ({value['$']})"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def attempt_table(attempts: Sequence[Attempt]) -> Any:
    """Return the attempts as a table, without tracebacks."""
    columns = (">Attempt", "Started", ">Took", "Outcome", "Worker", "Error")
    return table("Attempts", columns, [_attempt_row(attempt) for attempt in attempts])


_NO_START: Final = "not known"
"""Shown of an attempt that was lost with its worker: it may never have started, and is not to look as if it had."""


def _attempt_row(attempt: Attempt) -> Sequence[Any]:
    took = (attempt.finished_at - attempt.started_at).total_seconds() if attempt.started_at else None
    error = f"{attempt.error.type}: {attempt.error.message}" if attempt.error else ""
    return (
        attempt.number,
        short(attempt.started_at) or _NO_START,
        duration(took),
        state(attempt.outcome),
        attempt.worker,
        error,
    )


def _print_errors(out: Console, attempts: Sequence[Attempt]) -> None:
    for attempt in attempts:
        if attempt.error and attempt.error.traceback:
            out.print(f"\nTraceback of attempt {attempt.number}", style="bold")
            out.print(attempt.error.traceback.rstrip(), soft_wrap=True)


def _print_logs(out: Console, lines: Sequence[LogLine]) -> None:
    if lines:
        out.print("\nLogs", style="bold")
    for line in lines:
        attempt = "" if line.attempt is None else f"attempt {line.attempt} "
        texts = {name: readable(value) for name, value in line.fields.items()}
        short_ones = "".join(f" {name}={text}" for name, text in texts.items() if "\n" not in text)
        out.print(f"  {short(line.at)} {line.level:<8}{attempt}{line.message}", end="", soft_wrap=True)
        out.print(short_ones, style="dim", soft_wrap=True)
        for name, text in texts.items():
            if "\n" in text:
                out.print(indent(f"{name}:\n{indent(text.rstrip(), '  ')}", "    "), soft_wrap=True)
