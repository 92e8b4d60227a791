"""Reading a point: `1st jan 2021 10:30pm` and everything else that `at`, ranges and lists contain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from naturalcron import clocks
from naturalcron.cursor import Cursor
from naturalcron.errors import ErrorCode
from naturalcron.lexer import Fault, Token
from naturalcron.model import Point, Setting
from naturalcron.units import HIGHEST, LOWEST, Unit, ordinal
from naturalcron.values import ClosestWorkday, Edge, Movable, Number, Value
from naturalcron.words import Kind

_YEAR_DIGITS: Final = 4
_LEFT_OVER: Final = {
    Kind.AM_PM: "an hour before am or pm",
    Kind.COLON: "hours and minutes without blanks, as in 9:30",
    Kind.PLUS: "a day that moves, as in LastDay, before '+'",
    Kind.DASH: "a day that moves, as in LastDay, or a date before '-'",
    Kind.SUFFIX: "a number before the ending",
}


class PointReader:
    """Reads the items of one point; `default` is the unit of a bare number, if there is one."""

    def __init__(self, text: str, tokens: Sequence[Token], end: int, default: Unit | None = None) -> None:
        self.cursor = Cursor(tokens, end)
        self._text = text
        self._default = default
        self._settings: dict[Unit, Setting] = {}
        self._after_ordinal = False

    def read(self) -> Point:
        """Return the point; raises `Fault` where it makes no sense."""
        if self.cursor.peek().kind is Kind.END:
            raise self.cursor.wrong("a day, a time or another value")
        while self.cursor.peek().kind is not Kind.END:
            self._item()
        return Point(tuple(self._settings.values()))

    def _item(self) -> None:
        kind = self.cursor.peek().kind
        reader = _ITEMS.get(kind)
        if reader is None:
            raise self.cursor.wrong(_LEFT_OVER.get(kind, "a day, a time or another value"))
        continues_date = reader(self)
        self._after_ordinal = bool(continues_date)

    def set(self, unit: Unit, value: Value, first: Token, last: Token, text: str | None = None) -> None:
        """Note the value of a unit, read from `first` to `last`; raises `Fault` if it already has one."""
        start, end = first.start, last.end
        if unit in self._settings:
            name = "weekday" if unit is Unit.WEEK else unit.word
            message = f"the {name} is set twice; write alternatives as a list: [a, b]"
            raise Fault(ErrorCode.DUPLICATE_AT_UNIT, message, start, end)
        if isinstance(value, Number):
            check_range(unit, value.number, start, end)
        self._settings[unit] = Setting(unit, value, text or self._text[start:end], start, end)

    # Items; each returns True if a bare month or year may follow

    def _number(self) -> bool:
        following = self.cursor.peek(1).kind
        if following in _AFTER_NUMBER:
            return _AFTER_NUMBER[following](self)
        return self._bare()

    def _bare(self) -> bool:
        token = self.cursor.take()
        continues = self._continued(token)
        if continues is not None:
            self.set(continues, _number_of(token), token, token)
            return True
        unit = Unit.DAY if clocks.starts_clock(self.cursor) else self._default
        if unit is None:
            message = f"{token.text} of what? Write {_with_unit(token)}"
            raise Fault(ErrorCode.UNEXPECTED, message, token.start, token.end)
        self.set(unit, _number_of(token), token, token)
        return False

    def _continued(self, token: Token) -> Unit | None:
        if not self._after_ordinal:
            return None
        if Unit.MONTH not in self._settings:
            return Unit.MONTH
        return Unit.YEAR if len(token.text) == _YEAR_DIGITS else None

    def _ordinal(self) -> bool:
        number, _ = self.cursor.take(), self.cursor.take()
        self.set(Unit.DAY, _number_of(number), number, number)
        return True

    def _number_unit(self) -> bool:
        number, unit = self.cursor.take(), self.cursor.take()
        self.set(cast("Unit", unit.value), _number_of(number), number, number)
        return False

    def _hour(self) -> bool:
        number, half = self.cursor.take(), self.cursor.take()
        hour = clocks.twelve_hour(number, half)
        self.set(Unit.HOUR, Number(hour), number, half, str(hour))
        return False

    def _clock(self) -> bool:
        for part in clocks.read_clock(self.cursor):
            self.set(part.unit, part.value, part.first, part.last, part.text)
        return False

    def _date(self) -> bool:
        for unit, token in clocks.read_date(self.cursor):
            self.set(unit, _number_of(token), token, token)
        return False

    def _month(self) -> bool:
        if self.cursor.peek(1).kind is Kind.DASH:
            return self._date()
        token = self.cursor.take()
        self.set(Unit.MONTH, _number_of(token), token, token)
        return self._after_ordinal or Unit.DAY in self._settings

    def _weekday(self) -> bool:
        token = self.cursor.take()
        self.set(Unit.WEEK, _number_of(token), token, token)
        return False

    def _unit(self) -> bool:
        unit_token = self.cursor.take()
        unit = cast("Unit", unit_token.value)
        following = self.cursor.peek().kind
        if following is Kind.NUMBER:
            return self._unit_number(unit)
        if following is Kind.EDGE:
            token = self.cursor.take()
            self._moved(unit, Edge(unit, last=bool(token.value)), token)
            return False
        if unit is Unit.DAY and following in (Kind.DAY, Kind.CLOSEST):
            return self._day() if following is Kind.DAY else self._closest()
        raise self.cursor.wrong(f"a number after {unit_token.text!r}")

    def _unit_number(self, unit: Unit) -> bool:
        if unit is Unit.HOUR and self.cursor.peek(1).kind is Kind.AM_PM:
            return self._hour()
        number = self.cursor.take()
        if unit is Unit.DAY:
            self.cursor.take_if(Kind.SUFFIX)
        self.set(unit, _number_of(number), number, number)
        return False

    def _edge(self) -> bool:
        if clocks.starts_clock(self.cursor):
            return self._clock()
        token = self.cursor.take()
        _check_one_word(token, self.cursor.peek())
        unit_token = self.cursor.take_if(Kind.UNIT)
        unit = cast("Unit", unit_token.value) if unit_token else self._default
        if unit is None:
            raise self.cursor.wrong(f"a unit after {token.text!r}, as in '{token.text} day'")
        self._moved(unit, Edge(unit, last=bool(token.value)), token)
        return False

    def _day(self) -> bool:
        token = self.cursor.take()
        self._moved(Unit.DAY, cast("Movable", token.value), token)
        self._drop_day_word()
        return False

    def _closest(self) -> bool:
        first = self.cursor.take()
        self._drop_day_word()
        number = self.cursor.expect(Kind.NUMBER, f"a day after {first.text!r}")
        day = cast("int", number.value)
        check_range(Unit.DAY, day, number.start, number.end)
        last = self.cursor.take_if(Kind.SUFFIX) or number
        self.set(Unit.DAY, ClosestWorkday(day), first, last)
        return False

    def _drop_day_word(self) -> None:
        if self.cursor.peek().value is Unit.DAY and self.cursor.peek().kind is Kind.UNIT:
            self.cursor.take()

    def _moved(self, unit: Unit, value: Movable, first: Token) -> None:
        sign = self.cursor.take_if(Kind.PLUS, Kind.DASH)
        if sign is None:
            self.set(unit, value, first, first)
            return
        number = self.cursor.expect(Kind.NUMBER, f"a number after {sign.text!r}")
        by = cast("int", number.value)
        self.set(unit, value.moved(by if sign.kind is Kind.PLUS else -by), first, number)


def check_range(unit: Unit, number: int, start: int, end: int) -> None:
    """Raise `Fault` if the unit has no such number."""
    low, high = LOWEST[unit], HIGHEST[unit]
    if not low <= number <= high:
        name = "day of the week" if unit is Unit.WEEK else unit.word
        message = f"expected a {name} from {low} to {high}, not {number}"
        raise Fault(ErrorCode.OUT_OF_RANGE, message.replace("a hour", "an hour"), start, end)


def _check_one_word(token: Token, following: Token) -> None:
    if following.kind is Kind.WEEKDAY:
        message = f"'{token.text.title()}{following.text.title()}' is one word"
        raise Fault(ErrorCode.UNEXPECTED, message, token.start, following.end)


def _with_unit(token: Token) -> str:
    """Return examples of what a bare number may have meant."""
    number = cast("int", token.value)
    if number > HIGHEST[Unit.DAY]:
        return f"'minute {number}' or 'year {number}' or another unit"
    hour = f" or '{number}:00'" if number <= HIGHEST[Unit.HOUR] else ""
    return f"'{ordinal(number)}' for the day{hour} or a unit, as in 'day {number}'"


def _number_of(token: Token) -> Number:
    return Number(int(cast("int", token.value)))


_AFTER_NUMBER: Final[dict[Kind, Callable[[PointReader], bool]]] = {
    Kind.COLON: PointReader._clock,  # noqa: SLF001 - the tables belong to the class
    Kind.DASH: PointReader._date,  # noqa: SLF001
    Kind.AM_PM: PointReader._hour,  # noqa: SLF001
    Kind.SUFFIX: PointReader._ordinal,  # noqa: SLF001
    Kind.UNIT: PointReader._number_unit,  # noqa: SLF001
}
_ITEMS: Final[dict[Kind, Callable[[PointReader], bool]]] = {
    Kind.NUMBER: PointReader._number,  # noqa: SLF001
    Kind.MONTH: PointReader._month,  # noqa: SLF001
    Kind.WEEKDAY: PointReader._weekday,  # noqa: SLF001
    Kind.UNIT: PointReader._unit,  # noqa: SLF001
    Kind.EDGE: PointReader._edge,  # noqa: SLF001
    Kind.DAY: PointReader._day,  # noqa: SLF001
    Kind.CLOSEST: PointReader._closest,  # noqa: SLF001
}
