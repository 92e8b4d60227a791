"""The public test data of NaturalCron (see data/LICENSE): every case of every file has to hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, time, tzinfo
from pathlib import Path
from typing import Any

import pytest

from naturalcron import (
    AmPm,
    DayPosition,
    Expression,
    Month,
    Nth,
    ParseError,
    UnknownZoneError,
    Weekday,
    builder,
    find_zone,
    parse,
    try_parse,
)
from naturalcron.parser import parse_clauses
from naturalcron.rules import AtListRule, AtRule, EveryRule, Rule, ZoneRule, rules_of

DATA = Path(__file__).parent / "data"


def load(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def moments(texts: list[str]) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


# Occurrences


@pytest.mark.parametrize("spelling", ["expression", "expression_without_at"])
@pytest.mark.parametrize("case", load("next_occurrences"), ids=lambda case: case["id"])
def test_occurrences(case: dict[str, Any], spelling: str) -> None:
    start = datetime.fromisoformat(case["start"]).replace(tzinfo=UTC)

    found = parse(case[spelling]).upcoming(case["request_count"], start)

    assert [moment.replace(tzinfo=None) for moment in found] == moments(case["expected"])
    assert all(moment.tzinfo is UTC for moment in found)
    assert case["exhausted"] == (len(found) < case["request_count"])


# Zones and the ways to ask


def ask(case: dict[str, Any]) -> list[datetime]:
    """Return the occurrences of a case, as wall times of the zone in which it asks."""
    zone: tzinfo | None = None
    if case["api"] != "system_local":
        zone = find_zone(case["timezone"]) if case["api"] == "in_zone" else UTC
    start = datetime.fromisoformat(case["start"]).replace(tzinfo=zone)
    until = datetime.fromisoformat(case["until"]).replace(tzinfo=zone) if "until" in case else None
    count = case.get("request_count", len(case.get("expected", "1")))
    found = parse(case["expression"]).upcoming(count, start, until=until)
    assert all(moment.tzinfo is zone for moment in found)
    return [moment.replace(tzinfo=None) for moment in found]


@pytest.mark.parametrize("case", [case for case in load("timezone_and_api")["cases"] if "expected" in case])
def test_zones(case: dict[str, Any]) -> None:
    found = ask(case)

    assert found[: len(case["expected"])] == moments(case["expected"])
    assert not case.get("exhausted") or len(found) < case["request_count"]


@pytest.mark.parametrize("case", [case for case in load("timezone_and_api")["cases"] if "error" in case])
def test_zones_and_limits_that_give_no_answer(case: dict[str, Any]) -> None:
    if case["error"].startswith("Invalid"):
        with pytest.raises(UnknownZoneError):
            ask(case)
    else:
        assert len(ask(case)) < case["request_count"]


@pytest.mark.parametrize(
    "case", [case for case in load("timezone_and_api")["cases"] if "expected_utc" in case]
)
def test_local_time(case: dict[str, Any]) -> None:
    start = datetime.fromisoformat(case["start"]).astimezone()

    found = parse(case["expression"]).upcoming(len(case["expected_utc"]), start)

    assert [moment.astimezone(UTC).replace(tzinfo=None) for moment in found] == moments(case["expected_utc"])


@pytest.mark.parametrize("case", load("timezone_and_api")["consistency"]["cases"])
def test_the_zone_of_the_start_changes_nothing_when_the_text_has_its_own(case: dict[str, Any]) -> None:
    start = datetime.fromisoformat(case["start_utc"]).replace(tzinfo=UTC)
    expression = parse(case["expression"])

    answers = [
        expression.upcoming(20, zoned)
        for zoned in (start, start.astimezone(), start.astimezone(find_zone("America/New_York")))
    ]

    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("case", load("dst"), ids=lambda case: f"{case['expression']} {case['start_utc']}")
def test_changes_of_the_clock(case: dict[str, Any]) -> None:
    start = datetime.fromisoformat(case["start_utc"]).replace(tzinfo=UTC)
    one, two = parse(case["expression"]).upcoming(2, start)
    expected = case["expected"]

    if expected.startswith("one occurrence"):
        assert (one.isoformat(), two.isoformat()) == (
            "2025-11-02T05:30:00+00:00",
            "2025-11-03T06:30:00+00:00",
        )
    elif expected == "same":
        assert {moment.astimezone(find_zone("America/New_York")).hour for moment in (one, two)} == {12}
    else:
        assert one == datetime.fromisoformat(expected.split()[0])


# What is refused, and what is not


@pytest.mark.parametrize("case", load("invalid"), ids=lambda case: case["expression"])
def test_invalid(case: dict[str, Any]) -> None:
    expression, problems = try_parse(case["expression"])

    assert expression is None
    assert {problem.code for problem in problems} == {case["error"]}


@pytest.mark.parametrize("case", load("strictness"), ids=lambda case: case["expression"])
def test_strictness(case: dict[str, Any]) -> None:
    expression, problems = try_parse(case["expression"])

    assert (expression is not None) == (case["recommended"] == "accept"), problems


# Rules


def as_data(rule: Rule) -> dict[str, Any]:
    match rule:
        case EveryRule(unit=unit, interval=interval, anchor=anchor):
            return {"kind": "every", "unit": unit.word, "interval": interval, "anchor": anchor}
        case AtRule(unit=unit, value=value):
            return {"kind": "at", "unit": unit.word, "value": value}
        case AtListRule(unit=unit, values=values):
            texts = {one.word: list(text) for one, text in values.items()}
            return {"kind": "at_multiple", "unit": unit.word, "values": texts}
        case ZoneRule(zone=zone):
            return {"kind": "timezone", "zone": zone}
    raise AssertionError(rule)


@pytest.mark.parametrize("case", load("parse_structure"), ids=lambda case: case["expression"])
def test_rules(case: dict[str, Any]) -> None:
    rules = rules_of(parse_clauses(case["expression"]))
    expression, _ = try_parse(case["expression"])

    assert [as_data(rule) for rule in rules] == case["rules"]
    assert (expression is not None) == case["validates"]
    assert expression is None or expression.rules == rules


# Builder

SPECIAL = {"In": "in_", "From": "from_"}
READERS: dict[str, Callable[[Any], Any]] = {
    "weekday": lambda text: Weekday[text.upper()],
    "month": lambda text: Month[text.upper()],
    "time": time.fromisoformat,
    "ampm": AmPm,
    "nth": lambda text: Nth[text.upper()],
    "position": DayPosition,
}


def snake(name: str) -> str:
    return SPECIAL.get(name) or "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def call(target: Any, name: str, arguments: list[Any]) -> Any:
    positional: list[Any] = []
    options: dict[str, Any] = {}
    for argument in arguments:
        (kind, value), *_ = argument.items() if isinstance(argument, dict) else [("", argument)]
        if kind == "includeSeconds":
            options["include_seconds"] = value
        else:
            positional.append(READERS[kind](value) if kind else value)
    return getattr(target, snake(name))(*positional, **options)


@pytest.mark.parametrize("case", load("builder"), ids=lambda case: case["expression"])
def test_builder(case: dict[str, Any]) -> None:
    stage: Any = builder
    for name, arguments in case["calls"]:
        stage = call(stage, name, arguments)

    assert stage.to_natural_expression() == case["expression"]
    assert isinstance(stage.build(), Expression)


def test_the_licence_of_the_data_is_with_it() -> None:
    text = (DATA / "LICENSE").read_text(encoding="utf-8")

    assert "Copyright (c) 2025 Hugo Silva" in text
    assert "MIT License" in text


def test_parsing_errors_are_value_errors() -> None:
    with pytest.raises(ValueError, match="interval") as caught:
        parse("")

    assert isinstance(caught.value, ParseError)
