"""How the builder writes values and clauses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import time
from typing import TypeAlias

from naturalcron.units import AmPm, Month, Weekday, ordinal

Writable: TypeAlias = str | int | Weekday | Month
"""What becomes a word of the text; strings are taken as they are."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The text so far: style, and the parts in the order in which they are joined."""

    with_at: bool = False
    full_weekdays: bool = False
    full_months: bool = False
    every: str = ""
    anchor: str = ""
    clauses: tuple[str, ...] = ()
    zone: str = ""

    def keyword(self, word: str) -> str:
        """Return the word that begins a clause, in the style chosen."""
        return f"@{word}" if self.with_at else word

    def word(self, value: Writable) -> str:
        """Return a value as a word."""
        if isinstance(value, Weekday):
            return value.full_name if self.full_weekdays else value.short_name
        if isinstance(value, Month):
            return value.full_name if self.full_months else value.short_name
        return str(value)

    def day_of(self, month: Month, day: int) -> str:
        """Return a day of a month, like `25th Dec`."""
        return f"{ordinal(day)} {self.word(month)}"

    def plus(self, keyword: str, text: str) -> Draft:
        """Return the draft with one more clause."""
        return replace(self, clauses=(*self.clauses, f"{self.keyword(keyword)} {text}"))

    @property
    def text(self) -> str:
        """The whole expression."""
        zone = f"{self.keyword('TimeZone')} {self.zone}" if self.zone else ""
        return " ".join(part for part in (self.every, self.anchor, *self.clauses, zone) if part)


def clock(*fields: int | None, am_pm: AmPm | None = None) -> str:
    """Return a time in fields of two digits, with am or pm behind it if given; nothing is converted."""
    return ":".join(f"{field:02}" for field in fields if field is not None) + (am_pm or "")


def clock_of(moment: time, *, include_seconds: bool, am_pm: AmPm | None) -> str:
    """Return a time of day; seconds only where they are asked for."""
    return clock(moment.hour, moment.minute, moment.second if include_seconds else None, am_pm=am_pm)
