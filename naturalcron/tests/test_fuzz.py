"""Whatever the text, the library answers, or raises an error of its own that points into the text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from naturalcron import ConversionError, Expression, NaturalCronError, describe, from_cron, to_cron, try_parse
from naturalcron.errors import split_lines
from naturalcron.words import WORDS

START = datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC)
NUMBERS = [
    "0",
    "1",
    "2",
    "5",
    "10",
    "12",
    "15",
    "29",
    "31",
    "59",
    "60",
    "2024",
    "99999999999999999999",
    "01",
    "9:00",
]
SIGNS = [
    *",:-+[]@;",
    "\n",
    "and",
    "tz UTC",
    "tz Europe/Lisbon",
    "10pm",
    "2024-02-29",
    "1stMon",
    "(",
    "é",
    "\u2028",
]
pieces = st.sampled_from(sorted(WORDS)) | st.sampled_from(NUMBERS + SIGNS)
separators = st.sampled_from([" ", " ", " ", "", ", "])
word_salad = st.lists(st.tuples(pieces, separators), max_size=12).map(lambda x: "".join(a + b for a, b in x))
valid_parts = st.sampled_from(
    [
        *(
            "every day",
            "every 2 weeks",
            "every month",
            "every 40 minutes anchoredAt 5",
            "hourly",
            "every fri",
        ),
        *(
            "at 9:00",
            "at [9:00, 10:30]",
            "on mon",
            "on [mon, fri]",
            "in [jan, feb]",
            "on LastDay - 2",
            "on 30th",
        ),
        *(
            "between 9:00 and 17:00",
            "from 10th",
            "upto fri",
            "at min 5",
            "at sec 30",
            "tz Europe/Lisbon",
            "on 2025",
        ),
        *(
            "between 1st jan and 5th mar",
            "on [1st 9am, LastFri 5pm]",
            "on year 2025",
            "between [mon and tue]",
        ),
    ]
)
salad_of_clauses = st.lists(valid_parts, min_size=1, max_size=5).map(" ".join)


def use(expression: Expression) -> None:
    assert describe(expression)
    found = expression.upcoming(3, START)
    assert found == sorted(found)
    for options in ({}, {"seconds": True, "marks": True, "aligned": True}):
        try:
            to_cron(expression, **options)
        except ConversionError as error:
            assert error.reasons  # noqa: PT017 - raised or not, both are right


def check(text: str) -> None:
    expression, problems = try_parse(text)
    if expression is not None:
        use(expression)
    lines = split_lines(text)
    for problem in problems:
        assert problem.message
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.column < problem.end_column <= len(lines[problem.line - 1]) + 2


@pytest.mark.timeout(120)
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(word_salad | salad_of_clauses)
def test_words_of_the_language_in_any_order(text: str) -> None:
    check(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    check(text)


fields = st.text("0123456789*/-,LW#?MONJAFEB@ ", max_size=20)


@settings(max_examples=300, deadline=None)
@given(fields)
def test_any_cron_line(line: str) -> None:
    try:
        use(from_cron(line))
    except NaturalCronError as error:
        assert str(error)  # noqa: PT017 - raised or not, both are right
