"""What holds for every kind: times increase, none lies before the start, and the text is enough to go on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from jobmaster import ConfigurationError, Cron, Interval, InvalidExpressionError, NaturalCron, hookimpl
from jobmaster.plugins import Plugins
from jobmaster.recurrence import Kinds, Recurrence, RecurrenceKind, upcoming, zone_of

KINDS = Plugins().kinds
PARIS = ZoneInfo("Europe/Paris")
YEAR_2009 = datetime(2009, 1, 1, tzinfo=UTC)

zones = st.sampled_from(
    ["UTC", "Europe/Paris", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"]
).map(ZoneInfo)
moments = st.timedeltas(timedelta(0), timedelta(days=7670)).map(lambda passed: YEAR_2009 + passed)
intervals = st.timedeltas(timedelta(seconds=1), timedelta(days=400)).map(Interval)
naturals = st.sampled_from(
    [
        "every day at 18:00",
        "every day between mon and fri at [02:00, 02:30]",
        "every 7 minutes between 1:00 and 4:00",
        "every 90 minutes",
        "every 2 weeks on [thu, sun] at 01:45",
        "every month on LastDay",
        "every day at 02:15 tz Australia/Lord_Howe",
    ]
).map(NaturalCron)
minutes = st.sampled_from(["*", "*/7", "0", "5,35", "10-20/5", "0-0"])
hours = st.sampled_from(["*", "*/5", "2", "0-3", "1,2,23"])
days = st.sampled_from(["*", "1", "*/9", "l", "15w", "28-31"])
months = st.sampled_from(["*", "3,10", "apr-dec"])
weekdays = st.sampled_from(["*", "0", "fri-sun", "7", "mon#2", "5l"])
seconds = st.sampled_from(["", "", "30 ", "*/20 "])
crons = st.tuples(seconds, minutes, hours, days, months, weekdays).map(
    lambda parts: Cron(parts[0] + " ".join(parts[1:]))
)
expressions: st.SearchStrategy[Any] = st.one_of(intervals, naturals, crons)


def compiled(expression: Any, zone: ZoneInfo = PARIS, kind: str | None = None) -> Recurrence:
    return KINDS.compile(expression, kind, zone)


@settings(max_examples=200, deadline=None)
@given(expressions, zones, moments, st.timedeltas(timedelta(days=-2), timedelta(days=500)))
def test_times_increase_and_come_after_both_moments(
    expression: Any, zone: ZoneInfo, start: datetime, passed: timedelta
) -> None:
    after = start + passed

    found = upcoming(compiled(expression, zone), after, start, 12)

    assert all(time.tzinfo is UTC and time > after and time >= start for time in found)
    assert all(one < other for one, other in pairwise(found))


@settings(max_examples=200, deadline=None)
@given(expressions, zones, moments, st.timedeltas(timedelta(days=-2), timedelta(days=500)))
def test_the_text_is_enough(expression: Any, zone: ZoneInfo, start: datetime, passed: timedelta) -> None:
    made = compiled(expression, zone)

    again = compiled(made.text, zone, made.kind)

    assert again == made
    assert hash(again) == hash(made)
    assert again.text == made.text
    assert upcoming(again, start + passed, start, 3) == upcoming(made, start + passed, start, 3)


@settings(max_examples=100, deadline=None)
@given(expressions, zones, moments, st.integers(0, 15), st.timedeltas(timedelta(0), timedelta(days=3)))
def test_the_answer_does_not_depend_on_what_was_asked_before(
    expression: Any, zone: ZoneInfo, start: datetime, place: int, passed: timedelta
) -> None:
    made = compiled(expression, zone)
    times = upcoming(made, start, start, place + 2)
    if len(times) < 2:
        return
    former, following = times[-2], times[-1]
    between = min(former + passed, following - timedelta(microseconds=1))

    assert made.next_after(between, start) == following
    assert made.next_after(former, start) == following
    assert made.next_after(start - timedelta(days=1), start) in (start, times[0])


@given(expressions, zones)
def test_expressions_describe_themselves_and_can_be_keys(expression: Any, zone: ZoneInfo) -> None:
    assert compiled(expression, zone).describe()
    assert {expression: 1}[type(expression)(expression.text)] == 1
    assert str(expression) == expression.text


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        (timedelta(minutes=90), "interval", "1h30m"),
        (Interval(minutes=5), "interval", "5m"),
        ("every  day\n at 18:00", "natural", "every day at 18:00"),
        (NaturalCron("hourly"), "natural", "hourly"),
        (Cron(" */5 *  * * * "), "cron", "*/5 * * * *"),
    ],
)
def test_objects_imply_their_kind(expression: Any, kind: str, text: str) -> None:
    made = compiled(expression)

    assert (made.kind, made.text) == (kind, text)


def test_the_start_itself_is_a_time_if_it_fits() -> None:
    start = datetime(2025, 6, 2, 18, tzinfo=PARIS)
    before = start - timedelta(seconds=1)
    fitting = [timedelta(hours=7), "every day at 18:00", "every 25 minutes", Cron("0 18 * * *")]
    other = ["every day at 18:01", Cron("1 18 * * *")]

    assert {compiled(one).next_after(before, start) for one in fitting} == {start.astimezone(UTC)}
    assert {compiled(one).next_after(before, start) for one in other} == {start + timedelta(minutes=1)}
    assert all(compiled(one).next_after(start, start) != start for one in fitting)


@pytest.mark.parametrize(
    "expression", ["every 2 weeks on fri at 9:00", "every 40 minutes", timedelta(hours=5)]
)
def test_what_counts_goes_on_counting_after_a_long_silence(expression: Any) -> None:
    start = datetime(2024, 3, 1, 9, tzinfo=PARIS)
    made = compiled(expression)
    times = upcoming(made, start, start, 40)

    silence = times[30] + timedelta(minutes=17)
    assert compiled(expression).next_after(silence, start) == times[31]


def test_times_of_the_same_zone_are_compared_by_instant() -> None:
    # 02:30 comes twice, and Python compares two moments of one zone by what the clock shows.
    first = datetime(2025, 10, 26, 2, 30, tzinfo=PARIS)
    second = first.replace(fold=1)

    for expression in (timedelta(minutes=30), "every 30 minutes", Cron("*/30 * * * *")):
        found = compiled(expression).next_after(second, first)
        assert found == datetime(2025, 10, 26, 2, tzinfo=UTC)


@pytest.mark.parametrize("expression", [timedelta(days=36525), "every day at 9:00", Cron("0 9 * * *")])
def test_time_ends_with_the_calendar(expression: Any) -> None:
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)

    assert upcoming(compiled(expression), last, last - timedelta(hours=1), 3) == []


def test_an_expression_may_come_to_an_end() -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)

    assert len(upcoming(compiled("on [1st, 2nd] at 9:00 in feb in year 2025"), start, start, 5)) == 2


# The registry


@frozen
class Moon:
    """What the kind of a third party makes."""

    text: str
    zone: ZoneInfo

    kind = "lunar"

    def next_after(self, after: datetime, start: datetime) -> datetime | None:
        return max(after, start) + timedelta(days=29.53)

    def describe(self) -> str:
        return "At full moon"


class Lunar:
    """A kind of a third party."""

    name = "lunar"

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def accepts(self, expression: Any) -> bool:
        return isinstance(expression, str) or expression is Lunar

    def compile(self, expression: Any, zone: ZoneInfo) -> Recurrence:
        if self.fails:
            msg = "no moon"
            raise RuntimeError(msg)
        return Moon(str(expression), zone)


class Bringing:
    def __init__(self, *kinds: Any) -> None:
        self.kinds = kinds

    @hookimpl
    def jobmaster_recurrence_kinds(self) -> Sequence[RecurrenceKind]:
        return self.kinds


def test_plug_ins_add_kinds() -> None:
    kinds = Plugins([Bringing(Lunar())]).kinds

    assert kinds.names == ["cron", "interval", "lunar", "natural"]
    assert kinds.compile(Lunar, None, PARIS).kind == "lunar"
    assert kinds.compile("full", "lunar", PARIS) == Moon("full", PARIS)


def test_a_plug_in_does_not_take_over_what_is_built_in() -> None:
    assert Plugins([Bringing(Lunar())]).kinds.compile("hourly", None, PARIS).kind == "natural"


@pytest.mark.parametrize("plugins", [[Bringing(Lunar()), Bringing(Lunar())], [Bringing(Lunar(), Lunar())]])
def test_a_name_that_is_claimed_twice_stops_the_start(plugins: Sequence[Any]) -> None:
    with pytest.raises(ConfigurationError, match="two plug-ins bring a kind of recurrence 'lunar'"):
        Plugins(plugins)


@pytest.mark.parametrize("kinds", [(object(),), (5,)])
def test_a_kind_without_a_name_stops_the_start(kinds: Sequence[Any]) -> None:
    with pytest.raises(ConfigurationError, match="cannot say which kinds of recurrence it brings"):
        Plugins([Bringing(*kinds)])


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidExpressionError, match=r"no kind 'lunar' .*\(known: cron, interval, natural\)"):
        compiled("full", kind="lunar")


def test_what_implies_no_kind_is_refused() -> None:
    with pytest.raises(
        InvalidExpressionError, match="int does not imply a kind of recurrence; give a timedelta"
    ):
        compiled(5)


def test_a_kind_that_breaks_is_told_as_such() -> None:
    with pytest.raises(InvalidExpressionError, match="the kind failed with RuntimeError: no moon"):
        Kinds([Lunar(fails=True)]).compile("full", None, PARIS)


def test_a_kind_that_cannot_even_look_is_told_as_such() -> None:
    class Blind(Lunar):
        def accepts(self, expression: Any) -> bool:
            return bool(expression.moon)

    with pytest.raises(InvalidExpressionError, match="the kind failed with AttributeError"):
        Kinds([Blind()]).compile("full", None, PARIS)


def test_a_kind_cannot_make_what_another_one_has_to_read() -> None:
    class Borrowing(Lunar):
        name = "borrowing"

    with pytest.raises(InvalidExpressionError, match="it made a recurrence of the kind 'lunar'"):
        Kinds([Borrowing()]).compile("full", "borrowing", PARIS)


@pytest.mark.parametrize("kind", ["natural", "cron", "interval", "lunar"])
def test_a_text_too_long_to_be_stored_is_refused(kind: str) -> None:
    kinds = Plugins([Bringing(Lunar())]).kinds

    with pytest.raises(InvalidExpressionError) as caught:
        kinds.compile("x" * 4001, kind, PARIS)

    assert caught.value.code == "too_long"
    assert len(str(caught.value)) < 200


# Zones


def test_zones_are_found_by_name_in_any_case() -> None:
    assert zone_of("europe/paris") is PARIS
    assert zone_of("Europe/Paris") is PARIS


@pytest.mark.parametrize("name", ["Mars/Base", "", 5, None])
def test_unknown_zones_are_refused(name: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"tz: .* is not a known time zone; use an IANA name such as"
    ):
        zone_of(name, "tz")


def test_the_nearest_zone_is_suggested() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'Europe/Lisbon'"):
        zone_of("Lisbon")
