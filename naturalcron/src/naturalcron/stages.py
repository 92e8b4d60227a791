"""The stages that the builder's chains end in: points, ranges, the time zone, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import time
from typing import Any, cast, overload

from naturalcron.expression import Expression, parse
from naturalcron.phrases import Draft, Writable, clock, clock_of
from naturalcron.units import AmPm, DayPosition, Month, Nth, Weekday, ordinal


class PointStage:
    """Points in time: each call adds a clause, all of which have to match."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def on(self, *values: str | Weekday) -> FinalStage:
        """Add a day; several make a list of alternatives."""
        return self._point("On", values)

    def in_(self, *values: str | Month) -> FinalStage:
        """Add a month; several make a list of alternatives."""
        return self._point("In", values)

    @overload
    def at(self, *values: str) -> FinalStage: ...
    @overload
    def at(self, month: Month, day: int, /) -> FinalStage: ...
    @overload
    def at(
        self, moment: time, /, *, include_seconds: bool = False, am_pm: AmPm | None = None
    ) -> FinalStage: ...
    def at(self, *values: Any, include_seconds: bool = False, am_pm: AmPm | None = None) -> FinalStage:
        """Add texts (several make a list), a day of a month, or a time of day.

        A time's seconds are written on request only; `am_pm` is put behind it without converting it.
        """
        if isinstance(values[0], Month):
            return self._plus("At", self._draft.day_of(*values))
        if isinstance(values[0], time):
            return self._plus("At", clock_of(values[0], include_seconds=include_seconds, am_pm=am_pm))
        return self._point("At", values)

    def at_day(self, day: int) -> FinalStage:
        """Add a day of the month, 1 to 31."""
        return self._plus("At", ordinal(day))

    def at_day_position(self, position: DayPosition) -> FinalStage:
        """Add the first or last day, or the first or last Monday to Friday, of the month."""
        return self._plus("At", position)

    def on_nth_weekday(self, nth: Nth, weekday: Weekday) -> FinalStage:
        """Add the nth such weekday of the month."""
        return self._plus("On", nth.value + self._draft.word(weekday))

    def on_closest_weekday_to(self, day: int) -> FinalStage:
        """Add the Monday to Friday that is nearest to a day of the month."""
        return self._plus("On", f"ClosestWeekdayTo {ordinal(day)}")

    def at_time(
        self, hour: int, minute: int, second: int | None = None, am_pm: AmPm | None = None
    ) -> FinalStage:
        """Add a time of day."""
        return self._plus("At", clock(hour, minute, second, am_pm=am_pm))

    def _point(self, keyword: str, values: Sequence[Writable]) -> FinalStage:
        words = [self._draft.word(value) for value in values]
        return self._plus(keyword, words[0] if len(words) == 1 else f"[{', '.join(words)}]")

    def _plus(self, keyword: str, text: str) -> FinalStage:
        return FinalStage(self._draft.plus(keyword, text))


class FinalStage(PointStage):
    """Everything after the interval, and the result."""

    @overload
    def between(self, first: str, last: str, /) -> FinalStage: ...
    @overload
    def between(self, first: Weekday, last: Weekday, /) -> FinalStage: ...
    @overload
    def between(self, first: Month, last: Month, /) -> FinalStage: ...
    @overload
    def between(self, month: Month, day: int, last_month: Month, last_day: int, /) -> FinalStage: ...
    @overload
    def between(self, *ranges: tuple[str, str]) -> FinalStage: ...
    @overload
    def between(
        self, first: time, last: time, /, *, include_seconds: bool = False, am_pm: AmPm | None = None
    ) -> FinalStage: ...
    def between(self, *ends: Any, include_seconds: bool = False, am_pm: AmPm | None = None) -> FinalStage:
        """Add a range, both ends included; several pairs make alternatives.

        Ends are texts, weekdays, months, days of months (`Month.JAN, 1, Month.MAR, 31`) or times of day.
        """
        if isinstance(ends[0], tuple):
            return self._ranges(ends)
        if isinstance(ends[0], time):
            first, last = (clock_of(end, include_seconds=include_seconds, am_pm=am_pm) for end in ends)
            return self._range(first, last)
        if len(ends) == 4:  # noqa: PLR2004 - month, day, month, day
            return self._range(self._draft.day_of(*ends[:2]), self._draft.day_of(*ends[2:]))
        return self._range(*map(self._draft.word, ends))

    @overload
    def between_time(
        self, hour: int, minute: int, last_hour: int, last_minute: int, /, *, am_pm: AmPm | None = None
    ) -> FinalStage: ...
    @overload
    def between_time(
        self,
        hour: int,
        minute: int,
        second: int,
        last_hour: int,
        last_minute: int,
        last_second: int,
        /,
        *,
        am_pm: AmPm | None = None,
    ) -> FinalStage: ...
    def between_time(self, *fields: int, am_pm: AmPm | None = None) -> FinalStage:
        """Add a range of times: hour, minute and perhaps second of its start, then of its end."""
        half = len(fields) // 2
        first, last = clock(*fields[:half], am_pm=am_pm), clock(*fields[half:], am_pm=am_pm)
        return self._range(first, last)

    @overload
    def from_(self, value: str | Weekday | Month, /) -> FinalStage: ...
    @overload
    def from_(self, month: Month, day: int, /) -> FinalStage: ...
    @overload
    def from_(
        self, moment: time, /, *, include_seconds: bool = False, am_pm: AmPm | None = None
    ) -> FinalStage: ...
    def from_(self, *value: Any, include_seconds: bool = False, am_pm: AmPm | None = None) -> FinalStage:
        """Add a lower bound: a text, a weekday, a month, a day of a month or a time of day."""
        return self._plus("From", self._bound(value, include_seconds=include_seconds, am_pm=am_pm))

    def from_day(self, day: int) -> FinalStage:
        """Add a day of the month as lower bound."""
        return self._plus("From", ordinal(day))

    def from_time(
        self, hour: int, minute: int, second: int | None = None, am_pm: AmPm | None = None
    ) -> FinalStage:
        """Add a time of day as lower bound."""
        return self._plus("From", clock(hour, minute, second, am_pm=am_pm))

    @overload
    def upto(self, value: str | Weekday | Month, /) -> FinalStage: ...
    @overload
    def upto(self, month: Month, day: int, /) -> FinalStage: ...
    @overload
    def upto(
        self, moment: time, /, *, include_seconds: bool = False, am_pm: AmPm | None = None
    ) -> FinalStage: ...
    def upto(self, *value: Any, include_seconds: bool = False, am_pm: AmPm | None = None) -> FinalStage:
        """Add an upper bound, included: a text, a weekday, a month, a day of a month or a time of day."""
        return self._plus("Upto", self._bound(value, include_seconds=include_seconds, am_pm=am_pm))

    def upto_day(self, day: int) -> FinalStage:
        """Add a day of the month as upper bound."""
        return self._plus("Upto", ordinal(day))

    def upto_time(
        self, hour: int, minute: int, second: int | None = None, am_pm: AmPm | None = None
    ) -> FinalStage:
        """Add a time of day as upper bound."""
        return self._plus("Upto", clock(hour, minute, second, am_pm=am_pm))

    def with_time_zone(self, zone: str) -> FinalStage:
        """Set the time zone by its IANA name."""
        return FinalStage(replace(self._draft, zone=zone))

    def to_natural_expression(self) -> str:
        """Return the text, unchecked."""
        return self._draft.text

    def build(self) -> Expression:
        """Return the expression; raises `ParseError` if the calls make no valid text."""
        return parse(self._draft.text)

    def _range(self, first: str, last: str) -> FinalStage:
        return self._plus("Between", f"{first} and {last}")

    def _ranges(self, pairs: Sequence[tuple[str, str]]) -> FinalStage:
        return self._plus("Between", f"[{', '.join(f'{first} and {last}' for first, last in pairs)}]")

    def _bound(self, value: Sequence[Any], *, include_seconds: bool, am_pm: AmPm | None) -> str:
        if isinstance(value[0], time):
            return clock_of(value[0], include_seconds=include_seconds, am_pm=am_pm)
        if len(value) > 1:
            return self._draft.day_of(*value)
        return self._draft.word(cast("Writable", value[0]))
