"""The builder: its text parses to itself, whatever the calls; what it writes is checked by the data, too."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalcron import AmPm, DayPosition, Month, Nth, ParseError, Weekday, every, parse, start
from naturalcron.builder import StartStage
from naturalcron.stages import FinalStage

days = st.integers(1, 31)
weekdays = st.sampled_from(Weekday)
months = st.sampled_from(Month)
hours = st.integers(0, 23)
minutes = st.integers(0, 59)

INTERVALS = ["seconds", "minutes", "hours", "days", "weeks", "months", "years"]


@st.composite
def starts(draw: st.DrawFn) -> StartStage:
    stage = start()
    for style in ("use_ampersat_prefix", "use_week_full_name", "use_month_full_name"):
        if draw(st.booleans()):
            stage = getattr(stage, style)()
    return stage


@st.composite
def chains(draw: st.DrawFn) -> FinalStage:
    """Return a chain whose text is valid: one clause for each unit that the interval leaves free."""
    unit = draw(st.sampled_from(INTERVALS))
    stage: Any = getattr(draw(starts()).every(draw(st.integers(1, 100))), unit)()
    if unit in ("seconds", "minutes", "days", "years") and draw(st.booleans()):
        stage = stage.anchored_at(draw(st.integers(1, 31)))
    if unit in ("seconds", "minutes") and draw(st.booleans()):
        stage = stage.between_time(
            draw(st.integers(0, 9)), draw(minutes), draw(st.integers(10, 23)), draw(minutes)
        )
    if unit in ("days", "weeks", "months", "years") and draw(st.booleans()):
        stage = stage.at_time(draw(hours), draw(minutes), draw(st.none() | minutes))
    if unit == "months" and draw(st.booleans()):
        stage = draw(st.sampled_from([_day, _position, _nth, _closest]))(stage, draw)
    if unit in ("hours", "days") and draw(st.booleans()):
        stage = stage.in_(*draw(st.lists(months, min_size=1, max_size=3)))
    if draw(st.booleans()):
        stage = stage.with_time_zone(draw(st.sampled_from(["UTC", "Europe/Lisbon"])))
    return stage  # type: ignore[no-any-return]  # looked up by name


def _day(stage: Any, draw: st.DrawFn) -> Any:
    return stage.at_day(draw(days))


def _position(stage: Any, draw: st.DrawFn) -> Any:
    return stage.at_day_position(draw(st.sampled_from(DayPosition)))


def _nth(stage: Any, draw: st.DrawFn) -> Any:
    return stage.on_nth_weekday(draw(st.sampled_from(Nth)), draw(weekdays))


def _closest(stage: Any, draw: st.DrawFn) -> Any:
    return stage.on_closest_weekday_to(draw(days))


@settings(max_examples=150, deadline=None)
@given(chains())
def test_what_is_built_parses_to_itself(stage: FinalStage) -> None:
    text = stage.to_natural_expression()
    built = stage.build()

    assert built.text == text
    assert built == parse(text) == parse(text.upper()) == parse(text.replace("@", ""))


def test_the_example_of_the_documentation() -> None:
    built = every(30).minutes().in_(Month.JAN).between("09:00", "18:00").build()

    assert built.text == "Every 30 Minutes In Jan Between 09:00 and 18:00"


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (every(1).minutes(), "Every 1 Minute"),
        (every(2).days().anchored_on(15), "Every 2 Days AnchoredOn 15th"),
        (every(2).hours().anchored_at(15), "Every 2 Hours AnchoredAt 15"),
        (every(2).weeks().anchored_on(Weekday.SAT), "Every 2 Weeks AnchoredOn Sat"),
        (start().on(Weekday.MON, Weekday.FRI), "On [Mon, Fri]"),
        (start().at(Month.DEC, 25), "At 25th Dec"),
        (start().at(time(9, 5, 3), include_seconds=True), "At 09:05:03"),
        (start().at_time(2, 15, am_pm=AmPm.PM), "At 02:15pm"),
        (every().day().between(time(9), time(17, 30)), "Every Day Between 09:00 and 17:30"),
        (every().day().between(("9am", "10am"), ("1pm", "2pm")), "Every Day Between [9am and 10am, 1pm and 2pm]"),
        (every().day().between(Month.JAN, 1, Month.MAR, 31), "Every Day Between 1st Jan and 31st Mar"),
        (every().hour().between_time(9, 0, 5, 0, am_pm=AmPm.PM), "Every Hour Between 09:00pm and 05:00pm"),
        (every().day().from_(Month.MAR, 3).upto(Weekday.FRI), "Every Day From 3rd Mar Upto Fri"),
        (every().day().from_day(22).upto_day(23), "Every Day From 22nd Upto 23rd"),
        (every().hour().from_time(9, 0).upto_time(17, 30, 0, AmPm.PM), "Every Hour From 09:00 Upto 17:30:00pm"),
        (every().hour().from_(time(8)).upto(time(9), am_pm=AmPm.AM), "Every Hour From 08:00 Upto 09:00am"),
    ],
)  # fmt: skip
def test_texts(stage: FinalStage, text: str) -> None:
    assert stage.to_natural_expression() == text


def test_a_builder_never_changes() -> None:
    daily = every().day()
    daily.at_time(9, 0)

    assert daily.to_natural_expression() == "Every Day"


def test_building_nonsense_is_a_parse_error() -> None:
    with pytest.raises(ParseError, match="at least 1"):
        every(0).days().build()
