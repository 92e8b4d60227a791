"""Reading intervals: `every 2 weeks anchoredOn friday`, `every monday`, `daily`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from naturalcron.clocks import twelve_hour
from naturalcron.cursor import Cursor
from naturalcron.errors import ErrorCode
from naturalcron.lexer import Fault, Token
from naturalcron.model import Anchor, Every
from naturalcron.points import check_range
from naturalcron.units import Unit
from naturalcron.words import Kind

HIGHEST_COUNT: Final = 2**31 - 1
"""The largest interval."""

_WORDS_OF_UNIT: Final = {Unit.MONTH: Kind.MONTH, Unit.WEEK: Kind.WEEKDAY}
_ANCHOR_WORDS: Final = frozenset(
    {Kind.NUMBER, Kind.MONTH, Kind.WEEKDAY, Kind.COLON, Kind.AM_PM, Kind.UNIT, Kind.SUFFIX},
)


def read_every(head: Token, body: Sequence[Token]) -> Every:
    """Return the clause after `every`; raises `Fault`."""
    end = body[-1].end if body else head.end
    cursor = Cursor(body, end)
    if weekday := cursor.take_if(Kind.WEEKDAY):
        cursor.finish(
            "the next clause after a weekday (several weekdays are written 'every week on [mon, fri]')"
        )
        anchor = Anchor(int(cast("int", weekday.value)), weekday.text)
        return Every(1, Unit.WEEK, anchor, head.start, end)
    count = _read_count(cursor)
    unit = cursor.expect(Kind.UNIT, "a unit like 'days'")
    anchor_or_none = _read_anchor(cast("Unit", unit.value), cursor, end)
    return Every(count, cast("Unit", unit.value), anchor_or_none, head.start, end)


def read_short(head: Token, body: Sequence[Token]) -> Every:
    """Return the clause of `daily` and its like; raises `Fault`."""
    end = body[-1].end if body else head.end
    unit = cast("Unit", head.value)
    return Every(1, unit, _read_anchor(unit, Cursor(body, end), end), head.start, end)


def _read_count(cursor: Cursor) -> int:
    number = cursor.take_if(Kind.NUMBER)
    if number is None:
        return 1
    count = cast("int", number.value)
    if count > HIGHEST_COUNT:
        message = f"expected an interval of at most {HIGHEST_COUNT}"
        raise Fault(ErrorCode.OUT_OF_RANGE, message, number.start, number.end)
    suffix = cursor.take_if(Kind.SUFFIX)
    if suffix and cursor.peek().value is not Unit.DAY:
        message = f"'{number.text}{suffix.text}' goes with 'day' only; with others, it is the number alone"
        raise Fault(ErrorCode.UNEXPECTED, message, number.start, suffix.end)
    if count == 0:
        message = "expected an interval of at least 1, not 0"
        raise Fault(ErrorCode.NON_POSITIVE_INTERVAL, message, number.start, number.end)
    return count


def _read_anchor(unit: Unit, cursor: Cursor, end: int) -> Anchor | None:
    keyword = cursor.take_if(Kind.ANCHOR)
    if keyword is None:
        cursor.finish("an anchor or the next clause")
        return None
    tokens: list[Token] = []
    while cursor.peek().kind in _ANCHOR_WORDS:
        tokens.append(cursor.take())
    cursor.finish("an anchor like 5, 'feb' or 'friday'")
    words = [token for token in tokens if token.kind not in (Kind.UNIT, Kind.SUFFIX)]
    if not words:
        raise Fault(ErrorCode.BAD_ANCHOR, f"expected an anchor after {keyword.text!r}", end, end)
    return Anchor(_anchor_value(unit, words), "".join(word.text for word in words))


def _anchor_value(unit: Unit, words: Sequence[Token]) -> int | None:
    first = words[0]
    if unit is Unit.HOUR and len(words) > 1 and first.kind is Kind.NUMBER:
        return _anchored_hour(words)
    if len(words) > 1 or first.kind not in (Kind.NUMBER, _WORDS_OF_UNIT.get(unit)):
        return None
    number = int(cast("int", first.value))
    check_range(unit, number, first.start, first.end)
    return number


def _anchored_hour(words: Sequence[Token]) -> int | None:
    """Return the hour of `5am` or `09:00`. Minutes and seconds have no effect on a count of hours."""
    first, last = words[0], words[-1]
    if last.kind is Kind.AM_PM:
        return twelve_hour(first, last, lenient=True)
    if words[1].kind is not Kind.COLON:
        return None
    number = cast("int", first.value)
    check_range(Unit.HOUR, number, first.start, first.end)
    return number
