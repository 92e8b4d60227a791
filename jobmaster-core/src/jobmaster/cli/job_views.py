"""Jobs, as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from jobmaster._text.printable import as_entry, marked
from jobmaster._time.durations import written
from jobmaster.cli.output import duration, short
from jobmaster.cli.streams import shown, shown_in_line
from jobmaster.cli.terminal import console, state, table
from jobmaster.converters import stored
from jobmaster.data import MessageData, Metadata
from jobmaster.inspection.models import JobPage
from jobmaster.models import Attempt, JobRecord, LogLine


def show_jobs(page: JobPage) -> None:
    """Print a page of jobs."""
    out = console()
    if not page.jobs:
        out.print("No jobs match.")
        return
    columns = ("ID", "Status", "Scheduled", "Handler", "Priority", "Lane", ">Attempt", "Note")
    out.print(table("", columns, [_row(job) for job in page.jobs]))
    if page.next:
        out.print(f"There may be more: --after {page.next}")


def _row(job: JobRecord) -> Sequence[Any]:
    # What can be done about it stands behind a semicolon, and has no room here.
    note = (job.reason or "").partition(";")[0] or ("cancellation requested" if job.cancel_requested else "")
    if job.damaged:
        note = f"damaged: {job.damaged}"
    priority = job.priority.name.lower()
    when = short(job.scheduled_at)
    return job.id, state(job.status), when, job.definition_id, priority, job.lane, job.attempt, note


def show_job(job: JobRecord) -> None:
    """Print all about a job."""
    out = console()
    out.print(f"Job {job.id}", style="bold")
    print_pairs(out, _facts(job))
    print_values(out, job.data, job.metadata)
    if job.attempts:
        out.print()
        out.print(attempt_table(job.attempts))
    _print_errors(out, job.attempts)
    _print_logs(out, job.logs)


def _facts(job: JobRecord) -> Iterator[tuple[str, Any]]:
    limit = written(job.timeout) if job.timeout is not None else "none"
    pairs = {
        "handler": job.definition_id,
        "status": state(job.status),
        "damaged": job.damaged,
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


def print_values(out: Console, data: MessageData, metadata: Metadata) -> None:
    """Print data and metadata. What of a damaged row is no JSON is shown as the text that it is."""
    for title, values in (("Data", stored(data)), ("Metadata", stored(metadata))):
        if values:
            out.print(f"\n{title}", style="bold")
            named = values if isinstance(values, Mapping) else {"unreadable": values}
            print_pairs(out, ((name, readable(value)) for name, value in named.items()))


_MARGIN: Final = 2
_NAMES: Final = 12
"""Characters in front of the names of pairs, and those that names fill up."""


def print_pairs(out: Console, pairs: Iterator[tuple[str, Any]]) -> None:
    """Print names and values below one another. Further lines of a value stand below its first."""
    for name, value in pairs:
        text = value if isinstance(value, Text) else below(shown(value), _MARGIN + _NAMES)
        out.print(Text.assemble(f"{' ' * _MARGIN}{shown_in_line(name):<{_NAMES}}", text), soft_wrap=True)


def below(text: str, columns: int) -> str:
    """Return a text whose further lines are indented: they belong to what its first line belongs to."""
    return text.replace("\n", "\n" + " " * columns)


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
            out.print(marked(attempt.error.traceback.rstrip()), soft_wrap=True)


_BELOW_A_LINE: Final = 4
"""Characters in front of what belongs to a log line and stands below it."""


def _print_logs(out: Console, lines: Sequence[LogLine]) -> None:
    if lines:
        out.print("\nLogs", style="bold")
    for line in lines:
        attempt = "" if line.attempt is None else f"attempt {line.attempt} "
        texts = {shown_in_line(name): readable(value) for name, value in line.fields.items()}
        short_ones = "".join(f" {name}={text}" for name, text in texts.items() if "\n" not in text)
        head = f"  {short(line.at)} {shown_in_line(line.level):<8}{attempt}"
        out.print(f"{head}{as_entry(line.message)}", end="", soft_wrap=True)
        out.print(short_ones, style="dim", soft_wrap=True)
        for name, text in texts.items():
            if "\n" in text:
                block = below(f"{name}:\n  {below(text.rstrip(), _MARGIN)}", _BELOW_A_LINE)
                out.print(f"{' ' * _BELOW_A_LINE}{block}", soft_wrap=True)
