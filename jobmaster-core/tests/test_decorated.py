"""What `@handler(every=…)` and `@handler(cron=…)` take, and what they say of what they do not."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import Cron, InvalidExpressionError, NaturalCron, handler, handlers
from jobmaster.recurrence.expressions import CronKind, NaturalKind
from jobmaster.recurrence.interval import IntervalKind
from jobmaster.recurrence.kinds import Kinds

UTC = ZoneInfo("UTC")
KINDS = Kinds([IntervalKind(), NaturalKind(), CronKind()])


@pytest.fixture(autouse=True, scope="module")
def no_handlers_are_left() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers, "_registered", {})
        yield


def meant(**when: Any) -> str:
    """Return the text of the recurrence that a decorator declares."""

    @handler("Decorated", **when)
    def decorated(job: object) -> None: ...

    rules = decorated.rules
    assert rules is not None
    return KINDS.compile(rules.expression, rules.kind, UTC).text


def refusal(**when: Any) -> InvalidExpressionError:
    with pytest.raises(InvalidExpressionError) as refused:
        meant(**when)
    return refused.value


@pytest.mark.parametrize(
    "text",
    [
        "daily at 9:00",
        "hourly",
        "on 1stMonday at 9:00",
        "on LastDay at 17:00",
        "at 9:00",
        "monthly on 1st at 9:00",
        "@every day at 9:00",
        "Every day at 9:00",
    ],
)
def test_a_text_that_can_be_read_is_taken_as_it_stands(text: str) -> None:
    assert meant(every=text) == text


@pytest.mark.parametrize("text", ["1 hour", "day at 18:00", "hour", "mon at 9:00", "90 seconds", "2 weeks"])
def test_a_text_may_leave_its_first_word_out(text: str) -> None:
    assert meant(every=text) == f"every {text}"


PIECES = [
    "every", "daily", "hourly", "monthly", "at 9:00", "on monday", "on 1st", "2 hours", "day", "hour", "between", "mon",
    "and", "fri", "in feb", "tz UTC", "@every", "@daily", "0 9 * * *", "90s", "PT5M", "25:00", "blue", "\n", " ", "5",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join) | st.text(max_size=20))
def test_words_mean_the_same_on_a_handler_and_others_are_shown_as_written(text: str) -> None:
    with suppress(InvalidExpressionError):
        assert meant(every=text) == NaturalCron(text).text
        return
    with suppress(InvalidExpressionError):
        assert meant(every=text) == NaturalCron(f"every {text}").text
        return
    assert refusal(every=text).text == text


@pytest.mark.parametrize(
    "line", ["0 9 * * *", "*/5 * * * *", "5 4 * * sun", "@daily", " @hourly ", "0 0 9 * * *"]
)
@pytest.mark.parametrize("before", ["", "every "])
def test_a_cron_line_is_told_its_setting(line: str, before: str) -> None:
    error = refusal(every=before + line)

    assert (error.text, error.code) == (before + line, "other_kind")
    assert error.reason == f'these are the fields of a cron line: pass cron="{line.strip()}" instead of every'
    assert meant(cron=line) == Cron(line).text


@pytest.mark.parametrize("before", ["", "every "])
@pytest.mark.parametrize(
    ("text", "length", "words"),
    [
        ("90s", "seconds=90", "90 seconds"),
        ("1h30m", "minutes=90", "90 minutes"),
        ("PT5M", "minutes=5", "5 minutes"),
        ("1.5 hours", "minutes=90", "90 minutes"),
        ("1 hour 30 minutes", "minutes=90", "90 minutes"),
        ("7d", "weeks=1", "1 week"),
        ("1.5s", "seconds=1.5", ""),
    ],
)
def test_an_interval_is_told_what_to_pass(before: str, text: str, length: str, words: str) -> None:
    error = refusal(every=before + text)

    assert (error.text, error.code) == (before + text, "other_kind")
    asked = f'this is an interval: pass every=timedelta({length}) or every=Interval("{text}")'
    assert error.reason == asked + (f', or the words every="{words}"' if words else "")
    assert not words or meant(every=words)
    unit, number = length.split("=")
    assert meant(every=timedelta(**{unit: float(number)})) == KINDS.compile(text, "interval", UTC).text


@pytest.mark.parametrize("text", ["every day at 9:00", "daily", "day at 9:00", "1 hour", "on monday"])
def test_words_as_a_cron_line_are_told_their_setting(text: str) -> None:
    error = refusal(cron=text)

    assert (error.text, error.reason) == (text, f'these are words: pass every="{text}" instead of cron')
    assert meant(every=text)


def test_an_interval_as_a_cron_line_is_told_its_setting() -> None:
    reason = refusal(cron="90s").reason

    assert reason.startswith("this is an interval: pass every=timedelta(seconds=90) or ")


@pytest.mark.parametrize(
    "text", ["twice a day", "weekday at 9:00", "blue moon", "every blue moon", "every", ""]
)
def test_other_texts_are_told_what_they_are_told_everywhere(text: str) -> None:
    with pytest.raises(InvalidExpressionError) as elsewhere:
        NaturalCron(text)

    error = refusal(every=text)

    assert (error.text, error.reason, error.more) == (text, elsewhere.value.reason, elsewhere.value.more)
    assert (error.column, error.end_column) == (elsewhere.value.column, elsewhere.value.end_column)


@pytest.mark.parametrize("blanks", ["", "  ", "\n "])
def test_what_is_wrong_behind_a_word_that_was_left_out_is_shown_at_its_place(blanks: str) -> None:
    error = refusal(every=f"{blanks}day at 25:00")

    assert error.reason == "expected an hour from 0 to 23, not 25"
    margin = "    " + blanks.lstrip("\n")
    assert str(error).splitlines()[-2:] == [f"{margin}day at 25:00", f"{margin}       ^^"]


def test_a_hint_for_the_whole_of_it_counts() -> None:
    reason = refusal(every="other day at 9:00").reason

    assert reason == "unknown word 'other'; write 'every 2 days at 9:00'"
