"""Writing to the terminal for people: texts, tables and colours. Only commands that print any import this, and rich."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from jobmaster._text.printable import indented
from jobmaster.cli.grid import Table
from jobmaster.cli.streams import shown, shown_in_line

PIPE_WIDTH: Final = 1_000_000
"""Columns of what nobody sees in a terminal, so that nothing is cut or broken: a row is a line."""


class _Console(Console):
    """A console whose texts can be written, whose tables are not cut, and which leaves a closed pipe to its caller."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts, broken between words in a terminal, and tables, whose lines the terminal breaks itself."""
        if any(isinstance(one, Table) for one in objects):
            options["soft_wrap"] = True
        super().print(*(_as_one(shown(one)) if isinstance(one, str) else one for one in objects), **options)

    def on_broken_pipe(self) -> None:
        """Let the error out: it has an exit code of its own."""
        raise BrokenPipeError


def _as_one(text: str) -> str:
    """Return a text whose further lines are indented, whatever names and values are in it; it may begin with a gap."""
    gap = text[: len(text) - len(text.lstrip("\n"))]
    return gap + indented(text.removeprefix(gap), "  ")


def console() -> Console:
    """Return a console for stdout. What is piped has no colours, and each of its lines is as long as it has to be."""
    made = _Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


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
    return Text(shown_in_line(name), style=STYLES.get(name, ""))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return a table; cells are texts, or made into one. A column named `>x` is aligned to the right.

    The first columns are the last to leave the table where it is too wide.
    """
    return Table(title, columns, rows)
