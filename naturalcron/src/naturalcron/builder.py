"""Building expressions by calls that read like the text they make.

`every(30).minutes().in_(Month.JAN).between("09:00", "18:00").build()` makes and parses
`Every 30 Minutes In Jan Between 09:00 and 18:00`. A builder never changes: each call returns another one. Types
allow the calls in their order only: style, interval, anchor, then all else. The text is checked by `build`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, overload

from naturalcron.phrases import Draft, Writable
from naturalcron.stages import FinalStage, PointStage
from naturalcron.units import Month, Unit, Weekday, ordinal
from naturalcron.words import SHORT_WORDS


class AnchorStage(FinalStage):
    """After an interval with a number: its phase may be fixed by an anchor."""

    def __init__(self, draft: Draft, unit: Unit) -> None:
        super().__init__(draft)
        self._unit = unit

    def anchored_on(self, value: str | int | Weekday) -> FinalStage:
        """Anchor the interval, e.g. on a weekday, or on the 15th if the unit is days."""
        return self._anchored("AnchoredOn", value)

    def anchored_in(self, value: str | int | Month) -> FinalStage:
        """Anchor the interval, e.g. in a month."""
        return self._anchored("AnchoredIn", value)

    def anchored_at(self, value: str | int) -> FinalStage:
        """Anchor the interval, e.g. at minute 15."""
        return self._anchored("AnchoredAt", value)

    def _anchored(self, keyword: str, value: Writable) -> FinalStage:
        plain = isinstance(value, int) and not isinstance(value, Weekday | Month)
        is_day = plain and self._unit is Unit.DAY
        word = ordinal(int(value)) if is_day else self._draft.word(value)
        return FinalStage(replace(self._draft, anchor=f"{keyword} {word}"))


class UnitStage:
    """After `every()`: the unit follows."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def second(self) -> FinalStage:
        """Every second."""
        return self._of(Unit.SECOND)

    def minute(self) -> FinalStage:
        """Every minute."""
        return self._of(Unit.MINUTE)

    def hour(self) -> FinalStage:
        """Every hour."""
        return self._of(Unit.HOUR)

    def day(self) -> FinalStage:
        """Every day."""
        return self._of(Unit.DAY)

    def week(self) -> FinalStage:
        """Every week."""
        return self._of(Unit.WEEK)

    def month(self) -> FinalStage:
        """Every month."""
        return self._of(Unit.MONTH)

    def year(self) -> FinalStage:
        """Every year."""
        return self._of(Unit.YEAR)

    def _of(self, unit: Unit) -> FinalStage:
        every = f"{self._draft.keyword('Every')} {unit.word.title()}"
        return FinalStage(replace(self._draft, every=every))


class CountedUnitStage:
    """After `every(n)`: the unit follows, in the plural."""

    def __init__(self, draft: Draft, count: int) -> None:
        self._draft = draft
        self._count = count

    def seconds(self) -> AnchorStage:
        """Every n seconds."""
        return self._of(Unit.SECOND)

    def minutes(self) -> AnchorStage:
        """Every n minutes."""
        return self._of(Unit.MINUTE)

    def hours(self) -> AnchorStage:
        """Every n hours."""
        return self._of(Unit.HOUR)

    def days(self) -> AnchorStage:
        """Every n days."""
        return self._of(Unit.DAY)

    def weeks(self) -> AnchorStage:
        """Every n weeks."""
        return self._of(Unit.WEEK)

    def months(self) -> AnchorStage:
        """Every n months."""
        return self._of(Unit.MONTH)

    def years(self) -> AnchorStage:
        """Every n years."""
        return self._of(Unit.YEAR)

    def _of(self, unit: Unit) -> AnchorStage:
        word = unit.word.title() + ("s" if self._count > 1 else "")
        every = f"{self._draft.keyword('Every')} {self._count} {word}"
        return AnchorStage(replace(self._draft, every=every), unit)


class StartStage(PointStage):
    """The beginning: style, then an interval or a point in time."""

    def use_ampersat_prefix(self) -> StartStage:
        """Write `@` before the words that begin a clause."""
        return StartStage(replace(self._draft, with_at=True))

    def use_week_full_name(self) -> StartStage:
        """Write `Monday` rather than `Mon`."""
        return StartStage(replace(self._draft, full_weekdays=True))

    def use_month_full_name(self) -> StartStage:
        """Write `January` rather than `Jan`."""
        return StartStage(replace(self._draft, full_months=True))

    @overload
    def every(self) -> UnitStage: ...
    @overload
    def every(self, n: int) -> CountedUnitStage: ...
    def every(self, n: int | None = None) -> UnitStage | CountedUnitStage:
        """Begin an interval; with `n`, units follow in the plural and an anchor may follow them."""
        return UnitStage(self._draft) if n is None else CountedUnitStage(self._draft, n)

    def secondly(self) -> FinalStage:
        """Every second, in one word."""
        return self._short(Unit.SECOND)

    def minutely(self) -> FinalStage:
        """Every minute, in one word."""
        return self._short(Unit.MINUTE)

    def hourly(self) -> FinalStage:
        """Every hour, in one word."""
        return self._short(Unit.HOUR)

    def daily(self) -> FinalStage:
        """Every day, in one word."""
        return self._short(Unit.DAY)

    def weekly(self) -> FinalStage:
        """Every week, in one word."""
        return self._short(Unit.WEEK)

    def monthly(self) -> FinalStage:
        """Every month, in one word."""
        return self._short(Unit.MONTH)

    def yearly(self) -> FinalStage:
        """Every year, in one word."""
        return self._short(Unit.YEAR)

    def _short(self, unit: Unit) -> FinalStage:
        return FinalStage(replace(self._draft, every=self._draft.keyword(SHORT_WORDS[unit].title())))


_START: Final = StartStage(Draft())


def start() -> StartStage:
    """Begin an expression."""
    return _START


every = _START.every
secondly = _START.secondly
minutely = _START.minutely
hourly = _START.hourly
daily = _START.daily
weekly = _START.weekly
monthly = _START.monthly
yearly = _START.yearly
use_ampersat = _START.use_ampersat_prefix
use_week_full_name = _START.use_week_full_name
use_month_full_name = _START.use_month_full_name
on = _START.on
in_ = _START.in_
at = _START.at
at_day = _START.at_day
at_day_position = _START.at_day_position
on_nth_weekday = _START.on_nth_weekday
on_closest_weekday_to = _START.on_closest_weekday_to
at_time = _START.at_time
