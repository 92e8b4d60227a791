"""Writing to the terminal: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON only, for programs.")]

PIPE_WIDTH = 200
"""Columns of a table that nobody sees in a terminal, so that nothing is cut."""


def console() -> Console:
    """Return a console for stdout; piped output has no colours and is wide."""
    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def print_json(value: Any) -> None:
    """Print a value as JSON, the only thing that a command with `--json` writes to stdout."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def short(moment: datetime | None) -> str:
    """Return a moment for people: UTC, to the second."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(seconds: float | None) -> str:
    """Return a duration for people, with the unit that fits."""
    if seconds is None:
        return ""
    for limit, size, unit in _UNITS:
        if abs(seconds) < limit:
            return f"{seconds / size:.{0 if unit == 'ms' else 1}f} {unit}".replace(".0 ", " ")
    return f"{seconds / 86400:.1f} d".replace(".0 ", " ")


_UNITS = ((1, 0.001, "ms"), (120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h"))

STYLES: Mapping[str, str] = {
    "succeeded": "green",
    "active": "green",
    "failed": "red",
    "lost": "red",
    "timed_out": "red",
    "poisoned": "red",
    "cancelled": "yellow",
    "processing": "cyan",
    "queued": "cyan",
}


def state(name: str) -> Text:
    """Return a state's name in its colour."""
    return Text(name, style=STYLES.get(name, ""))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return a table; cells are texts, or made into one. A column named `>x` is aligned to the right."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for column in columns:
        justify = "right" if column.startswith(">") else "left"
        made.add_column(column.removeprefix(">"), justify=justify, no_wrap=column in _WHOLE)  # type: ignore[arg-type]
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else _text(cell) for cell in row))
    return made


_WHOLE = ("ID", "Job", "Status", "Due", "Scheduled", "Started")
"""Columns whose cells are not broken, so that they can be copied."""


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)
