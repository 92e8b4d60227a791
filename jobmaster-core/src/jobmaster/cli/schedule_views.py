"""Recurring schedules, as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jobmaster._time.durations import written
from jobmaster.cli.job_views import print_pairs, print_values
from jobmaster.cli.output import short
from jobmaster.cli.terminal import console, state, table
from jobmaster.inspection.models import Preview, SchedulePage, Times
from jobmaster.schedule_models import ScheduleRecord


def show_preview(made: Preview) -> None:
    """Print a preview."""
    out = console()
    out.print(made.times.description, style="bold")
    out.print(f"{made.kind}: {made.text}")
    out.print()
    _print_times(made.times)


def _print_times(times: Times) -> None:
    out = console()
    if not times.next:
        out.print(times.problem or "There are no more times.")
        return
    rows = [(on_clock(time, times.zone), short(time)) for time in times.next]
    out.print(table("", (times.zone.key, "UTC"), rows))


def on_clock(moment: datetime, zone: ZoneInfo) -> str:
    """Return what the clock of a zone shows, with its weekday and offset."""
    shown = moment.astimezone(zone)
    return f"{shown:%a %Y-%m-%d %H:%M:%S} {shown:%z}"


def show_schedules(page: SchedulePage) -> None:
    """Print a page of schedules."""
    out = console()
    if not page.schedules:
        out.print("No schedules match.")
        return
    columns = ("ID", "Status", "Due", "Handler", "Fires", "Zone", "Declared as")
    out.print(table("", columns, [_row(record) for record in page.schedules]))
    if page.next:
        out.print(f"There may be more: --after {page.next}")


def _row(record: ScheduleRecord) -> Sequence[Any]:
    fires = f"{record.kind}: {record.expression}"
    due = short(record.next_at)
    return record.id, state(record.status), due, record.definition_id, fires, record.time_zone, record.name


def show_schedule(record: ScheduleRecord, times: Times) -> None:
    """Print all about a schedule."""
    out = console()
    out.print(f"Schedule {record.id}", style="bold")
    print_pairs(out, _facts(record, times))
    print_values(out, record.data, record.metadata)
    out.print("\nNext times", style="bold")
    _print_times(times)


def _facts(record: ScheduleRecord, times: Times) -> Iterator[tuple[str, Any]]:
    limit = written(record.timeout) if record.timeout is not None else "none"
    pairs = {
        "handler": record.definition_id,
        "status": state(record.status),
        "damaged": record.damaged,
        "fires": times.description,
        "expression": f"{record.kind}: {record.expression}",
        "zone": record.time_zone,
        "starts": short(record.starts_after),
        "ends": short(record.ends_before),
        "overlap": record.overlap,
        "misfire": record.misfire,
        "declared as": record.name,
        "last job": record.last_job_id,
        "priority": record.priority.name.lower(),
        "lane": record.lane,
        "timeout": limit,
        "retries": f"at most {record.max_retries}",
        "key": record.key,
    }
    return ((name, value) for name, value in pairs.items() if value)
