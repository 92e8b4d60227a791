"""Tables for people, in any width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.console import Console, ConsoleOptions
from rich.text import Text

from jobmaster.cli.streams import shown_in_line

_GAP: Final = 2
_INDENT: Final = 4


class Table:
    """Rows below a head. Where they are too wide, the columns that do not fit stand below each row, with their names.

    So nothing is left out or cut, however narrow the terminal and however long a name: what identifies a row stands in
    the first columns.
    """

    def __init__(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        self._title = title
        self._right = [name.startswith(">") for name in columns]
        self._head = [Text(shown_in_line(name.removeprefix(">")), style="bold") for name in columns]
        self._rows = [[_cell(cell) for cell in row] for row in rows]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines; the console ends each."""
        if self._title:
            yield Text(shown_in_line(self._title), style="bold")
        widths = [
            max(cell.cell_len for cell in column) for column in zip(self._head, *self._rows, strict=True)
        ]
        count = _fitting(widths, options.max_width)
        yield self._line(self._head, widths[:count])
        for row in self._rows:
            yield self._line(row, widths[:count])
            yield from _below(self._head[count:], row[count:], options.max_width)

    def _line(self, cells: Sequence[Text], widths: Sequence[int]) -> Text:
        line = Text()
        for cell, width, right in zip(cells, widths, self._right, strict=False):
            room = Text(" " * (width - cell.cell_len))
            line.append_text(Text.assemble(room, cell) if right else Text.assemble(cell, room))
            line.append(" " * _GAP)
        line.rstrip()
        return line


def _cell(cell: Any) -> Text:
    """Return a cell on one line."""
    if isinstance(cell, Text):
        return cell
    return Text("" if cell is None else shown_in_line(" ".join(str(cell).splitlines())))


def _fitting(widths: Sequence[int], room: int) -> int:
    """Return how many of the first columns fit, but one at least."""
    end = 0
    for count, width in enumerate(widths):
        end += width + (_GAP if count else 0)
        if end > room:
            return max(1, count)
    return len(widths)


def _below(head: Sequence[Text], cells: Sequence[Text], room: int) -> Iterator[Text]:
    """Yield lines with the cells that are not empty, each behind its column's name."""
    line = Text()
    for name, cell in zip(head, cells, strict=True):
        if not cell.plain:
            continue
        pair = Text.assemble((f"{name.plain}: ", "dim"), cell)
        if line and line.cell_len + _GAP + pair.cell_len > room:
            yield line
            line = Text()
        line.append(" " * (_GAP if line else _INDENT)).append_text(pair)
    if line:
        yield line
