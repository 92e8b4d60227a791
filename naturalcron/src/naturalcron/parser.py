"""Text to clauses. What the clauses mean together is checked in `validation`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, cast

from naturalcron.cursor import Cursor
from naturalcron.errors import ErrorCode
from naturalcron.intervals import read_every, read_short
from naturalcron.lexer import Fault, Token, fail, tokenize
from naturalcron.model import At, Between, Clause, Point, Range, Zone
from naturalcron.points import PointReader
from naturalcron.units import Unit
from naturalcron.words import CLAUSES, Kind


class Segment(NamedTuple):
    """The tokens of one clause: its keyword and what follows it."""

    text: str
    head: Token
    body: list[Token]

    @property
    def end(self) -> int:
        """Offset behind the clause."""
        return self.body[-1].end if self.body else self.head.end


def parse_clauses(text: str) -> list[Clause]:
    """Return the clauses of a text; raises `ParseError` with one problem for each clause that cannot be read."""
    clauses: list[Clause] = []
    faults: list[Fault] = []
    for segment in _segments(text, faults):
        try:
            clauses.append(_READERS[segment.head.kind](segment))
        except Fault as fault:
            faults.append(fault)
    if faults:
        raise fail(text, faults)
    return clauses


def _segments(text: str, faults: list[Fault]) -> Iterator[Segment]:
    *tokens, _ = tokenize(text)
    heads = [place for place, token in enumerate(tokens) if token.kind in CLAUSES]
    stray = tokens[: heads[0]] if heads else tokens
    if stray and (words := [token for token in stray if token.kind is not Kind.COMMA]):
        message = f"an expression begins with 'every', 'at' or another such word, not {words[0].text!r}"
        faults.append(Fault(ErrorCode.UNEXPECTED, message, words[0].start, words[-1].end))
    for place, following in zip(heads, [*heads[1:], len(tokens)], strict=False):
        yield Segment(text, tokens[place], tokens[place + 1 : following])


def _plain(tokens: Sequence[Token]) -> list[Token]:
    """Return tokens without the commas, which mean nothing outside brackets."""
    return [token for token in tokens if token.kind is not Kind.COMMA]


# Brackets


class _Bracketed(NamedTuple):
    before: list[Token]
    groups: list[list[Token]]
    after: list[Token]
    end: int
    """Offset of the closing bracket."""


def _bracketed(segment: Segment) -> _Bracketed | None:
    opening = [place for place, token in enumerate(segment.body) if token.kind is Kind.OPEN]
    closing = [place for place, token in enumerate(segment.body) if token.kind is Kind.CLOSE]
    if not opening and not closing:
        return None
    _check_brackets(segment, opening, closing)
    inner = segment.body[opening[0] + 1 : closing[0]]
    before, after = segment.body[: opening[0]], segment.body[closing[0] + 1 :]
    return _Bracketed(_plain(before), _groups(inner), _plain(after), segment.body[closing[0]].start)


def _check_brackets(segment: Segment, opening: list[int], closing: list[int]) -> None:
    if len(opening) > len(closing):
        raise Fault(ErrorCode.MISSING, "expected ']' to end the list", segment.end, segment.end)
    if len(opening) < len(closing) or opening[0] > closing[0]:
        token = segment.body[closing[0 if not opening or opening[0] > closing[0] else -1]]
        raise Fault(ErrorCode.UNEXPECTED, "']' without a '[' before it", token.start, token.end)
    if len(opening) > 1:
        token = segment.body[opening[1]]
        raise Fault(ErrorCode.UNEXPECTED, "one list to a clause, and none inside it", token.start, token.end)


def _groups(tokens: Sequence[Token]) -> list[list[Token]]:
    groups: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind is Kind.COMMA:
            groups.append([])
        else:
            groups[-1].append(token)
    return groups


def _group_ends(found: _Bracketed) -> list[int]:
    return [group[-1].end if group else found.end for group in found.groups]


def _refuse(tokens: Sequence[Token], message: str) -> None:
    if tokens:
        raise Fault(ErrorCode.UNEXPECTED, message, tokens[0].start, tokens[-1].end)


# at, on, in


def _read_at(segment: Segment) -> At:
    found = _bracketed(segment)
    if found is None:
        point = PointReader(segment.text, _plain(segment.body), segment.end).read()
        return At((point,), in_list=False, start=segment.head.start, end=segment.end)
    unit = _list_unit(found)
    groups = zip(found.groups, _group_ends(found), strict=True)
    points = tuple(PointReader(segment.text, group, end, unit).read() for group, end in groups)
    _check_even(points, found)
    return At(points, in_list=True, start=segment.head.start, end=segment.end)


def _list_unit(found: _Bracketed) -> Unit | None:
    outside = found.before + found.after
    if not outside:
        return None
    odd = [token for token in outside if token.kind is not Kind.UNIT] or outside[1:]
    _refuse(odd, "only one unit may stand beside a list; give the rest an 'at' of its own")
    return cast("Unit", outside[0].value)


def _check_even(points: Sequence[Point], found: _Bracketed) -> None:
    wanted = set(points[0].units)
    for point, group in zip(points, found.groups, strict=True):
        if set(point.units) != wanted:
            message = (
                f"all alternatives must set the same units: {_units(points[0])} here, not {_units(point)}"
            )
            raise Fault(ErrorCode.UNEVEN_LIST, message, group[0].start, group[-1].end)


def _units(point: Point) -> str:
    return " and ".join("weekday" if unit is Unit.WEEK else unit.word for unit in point.units)


# between, from, upto


def _read_between(segment: Segment) -> Between:
    found = _bracketed(segment)
    if found is None:
        alone = _read_range(segment.text, _plain(segment.body), segment.end)
        return Between((alone,), segment.head.start, segment.end)
    _refuse(found.before + found.after, "nothing may stand beside the ranges")
    groups = zip(found.groups, _group_ends(found), strict=True)
    ranges = tuple(_read_range(segment.text, group, end) for group, end in groups)
    for one in ranges:
        if set(one.units) != set(ranges[0].units):
            message = "all ranges of a list must set the same units"
            raise Fault(ErrorCode.UNEVEN_LIST, message, one.start, one.end)
    return Between(ranges, segment.head.start, segment.end)


def _read_range(text: str, tokens: list[Token], end: int) -> Range:
    middle = next((place for place, token in enumerate(tokens) if token.kind is Kind.AND), None)
    if middle is None:
        raise Fault(ErrorCode.MISSING, "expected 'and' between the ends of the range", end, end)
    first = PointReader(text, tokens[:middle], tokens[middle].start).read()
    last = PointReader(text, tokens[middle + 1 :], end, default=first.units[0]).read()
    start = first.settings[0].start
    if first.units != last.units:
        message = f"both ends must set the same units in the same order: {_units(first)}, not {_units(last)}"
        raise Fault(ErrorCode.UNEVEN_RANGE, message, start, end)
    return Range(first, last, start, end)


def _read_bound(segment: Segment) -> Between:
    point = PointReader(segment.text, _plain(segment.body), segment.end).read()
    is_from = segment.head.kind is Kind.FROM
    start, end = segment.head.start, segment.end
    one = Range(point if is_from else None, None if is_from else point, start, end)
    return Between((one,), start, end)


# tz


def _read_zone(segment: Segment) -> Zone:
    cursor = Cursor(_plain(segment.body), segment.end)
    name = cursor.expect(Kind.ZONE_ID, "a time zone like Europe/Lisbon")
    cursor.finish("another clause")
    return Zone(name.text.lower(), name.text, name.start, name.end)


_READERS: Final[dict[Kind, Callable[[Segment], Clause]]] = {
    Kind.EVERY: lambda segment: read_every(segment.head, _plain(segment.body)),
    Kind.SHORT: lambda segment: read_short(segment.head, _plain(segment.body)),
    Kind.AT: _read_at,
    Kind.BETWEEN: _read_between,
    Kind.FROM: _read_bound,
    Kind.UPTO: _read_bound,
    Kind.ZONE: _read_zone,
}
