"""Reading the two compact forms: times with colons, and dates with dashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from naturalcron.cursor import Cursor
from naturalcron.errors import ErrorCode
from naturalcron.lexer import Fault, Token
from naturalcron.units import AmPm, Unit
from naturalcron.values import Edge, Number, Value
from naturalcron.words import Kind

NOON: Final = 12
_LAST_HOUR: Final = 23
_PARTS: Final = (Unit.HOUR, Unit.MINUTE, Unit.SECOND)
_DIGITS: Final = {Unit.YEAR: 4, Unit.MONTH: 2, Unit.DAY: 2}


class ClockPart(NamedTuple):
    """The hour, minute or second of a time; `text` is the value, after am or pm was applied."""

    unit: Unit
    value: Value
    first: Token
    last: Token
    text: str


def starts_clock(cursor: Cursor) -> bool:
    """Say whether a time with colons begins at the cursor."""
    first, second = cursor.peek(), cursor.peek(1)
    return first.kind in (Kind.NUMBER, Kind.EDGE) and second.kind is Kind.COLON and first.touches(second)


def read_clock(cursor: Cursor) -> Iterator[ClockPart]:
    """Return the parts of `HH:MM` or `HH:MM:SS`, each of which may be `last`; raises `Fault`."""
    tokens = _clock_tokens(cursor)
    half = cursor.take_if(Kind.AM_PM)
    for unit, token in zip(_PARTS, tokens, strict=False):
        yield _clock_part(unit, token, half if unit is Unit.HOUR else None)


def _clock_tokens(cursor: Cursor) -> list[Token]:
    tokens = [cursor.take()]
    while cursor.peek().kind is Kind.COLON:
        colon, part = cursor.take(), cursor.take()
        is_part = part.kind is Kind.NUMBER or (part.kind is Kind.EDGE and part.value)
        if not (is_part and tokens[-1].touches(colon) and colon.touches(part) and len(tokens) < len(_PARTS)):
            raise _bad_time(tokens[0], part)
        tokens.append(part)
    if any(len(token.text) > 2 for token in tokens if token.kind is Kind.NUMBER):  # noqa: PLR2004 - HH, MM, SS
        raise _bad_time(tokens[0], tokens[-1])
    return tokens


def _bad_time(first: Token, last: Token) -> Fault:
    message = "a time is HH:MM or HH:MM:SS, without blanks in it"
    return Fault(ErrorCode.BAD_TIME, message, first.start, max(first.end, last.end))


def _clock_part(unit: Unit, token: Token, half: Token | None) -> ClockPart:
    if token.kind is Kind.EDGE and half is None:
        return ClockPart(unit, Edge(unit, last=bool(token.value)), token, token, token.text)
    if half is None:
        number = cast("int", token.value)
        return ClockPart(unit, Number(number), token, token, token.text)
    hour = twelve_hour(token, half, lenient=True)
    return ClockPart(unit, Number(hour), token, half, str(hour))


def twelve_hour(number: Token, half: Token, *, lenient: bool = False) -> int:
    """Return the hour of the day, 0 to 23, of an hour with am or pm; raises `Fault`.

    `lenient` takes 13 to 23 with pm as they stand: the builder's times may be written so, as 17:30pm.
    """
    hour = number.value
    if not isinstance(hour, int) or number.kind is not Kind.NUMBER:
        raise Fault(ErrorCode.BAD_TIME, f"no {half.text} after 'last'", number.start, half.end)
    is_pm = half.value is AmPm.PM
    if 1 <= hour <= NOON:
        return hour % NOON + (NOON if is_pm else 0)
    if (hour == 0 and not is_pm) or (lenient and is_pm and NOON < hour <= _LAST_HOUR):
        return hour
    message = f"expected an hour from 1 to 12 before {half.text}, not {hour}"
    raise Fault(ErrorCode.OUT_OF_RANGE, message, number.start, half.end)


def read_date(cursor: Cursor) -> Iterator[tuple[Unit, Token]]:
    """Return the parts of `YYYY-MM`, `YYYY-MM-DD` or `MM-DD`; a month may be its name. Raises `Fault`."""
    tokens = [cursor.take()]
    while cursor.take_if(Kind.DASH):
        tokens.append(cursor.take())
    has_year = len(tokens[0].text) == _DIGITS[Unit.YEAR] and tokens[0].kind is Kind.NUMBER
    units = (Unit.YEAR, Unit.MONTH, Unit.DAY)[0 if has_year else 1 :]
    if len(tokens) > len(units) or not all(map(_fits, units, tokens)):
        message = "a date is YYYY-MM, YYYY-MM-DD or MM-DD, with two digits or a month's name"
        raise Fault(ErrorCode.BAD_DATE, message, tokens[0].start, max(token.end for token in tokens))
    yield from zip(units, tokens, strict=False)


def _fits(unit: Unit, token: Token) -> bool:
    if token.kind is Kind.MONTH:
        return unit is Unit.MONTH
    return token.kind is Kind.NUMBER and len(token.text) == _DIGITS[unit]
