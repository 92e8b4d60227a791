"""What an attempt's end means, whatever users raise, return and declare."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import AttemptOutcome, ConfigurationError, FixedBackoff, JobStatus, Retry, RetryPolicy, Snooze
from jobmaster._policy import outcome
from jobmaster._policy.outcome import LONGEST_MESSAGE, LONGEST_TRACEBACK, Verdict, describe
from jobmaster._time.durations import LONGEST, to_delay
from jobmaster.models import Claim
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker

THRESHOLD = 120.0


def raised(error: BaseException, policy: RetryPolicy | None = None) -> Verdict:
    return outcome.raised(claim(), error, policy or RetryPolicy(), lambda: 0.5, THRESHOLD)


def claim() -> Claim:
    job, bucket = make_new_job().job, make_bucket(make_worker())
    return Claim(job=job, bucket_id=bucket.id, epoch=1, attempt=1, ready_at=job.scheduled_at, retries=0)


# Exceptions

texts = st.text(st.characters(exclude_categories=()), max_size=50)
odd_values = st.one_of(st.none(), st.integers(), texts, st.binary(), st.builds(object))


class OddError(Exception):
    """An exception whose parts are whatever a test says; what is an exception is raised."""

    def __init__(self, shown: Any) -> None:
        super().__init__()
        self.shown = shown

    def __str__(self) -> str:
        if isinstance(self.shown, BaseException):
            raise self.shown
        return self.shown  # type: ignore[no-any-return]  # on purpose


@st.composite
def exceptions(draw: st.DrawFn) -> BaseException:
    kinds = st.sampled_from(
        [ValueError, KeyError, SystemExit, GeneratorExit, KeyboardInterrupt, BaseException]
    )
    broken = st.builds(lambda kind: kind("within"), kinds)
    error: Any = draw(
        st.one_of(
            st.builds(OddError, st.one_of(odd_values, broken)),
            st.builds(lambda kind, value: kind(value), kinds, odd_values),
            st.builds(lambda one: BaseExceptionGroup("some", [one]), broken),
            st.builds(
                lambda where: SyntaxError("bad", where),
                st.tuples(odd_values, odd_values, odd_values, odd_values),
            ),
        )
    )
    error.__notes__ = draw(st.one_of(st.just([]), st.lists(odd_values, max_size=2), odd_values))
    error.__cause__ = draw(st.one_of(st.none(), st.just(error), broken))
    return error  # type: ignore[no-any-return]


@given(exceptions())
def test_any_exception_has_a_text_that_stores_can_hold(error: BaseException) -> None:
    described = describe(error)

    for text in (described.type, described.message, described.traceback):
        assert type(text) is str
        assert "\0" not in text
        text.encode()


def test_an_exception_that_cannot_be_formatted_still_shows_its_frames() -> None:
    def fail_here() -> None:
        raise SyntaxError("no", (b"not a name", "one", "two", object()))  # type: ignore[arg-type]

    with pytest.raises(SyntaxError) as caught:
        fail_here()

    assert "fail_here" in describe(caught.value).traceback


def test_what_is_cut_is_marked() -> None:
    described = describe(ValueError("x" * (LONGEST_MESSAGE + 12_345)))

    assert described.message == "x" * LONGEST_MESSAGE + "… (cut, 12345 characters)"
    long = describe(ValueError("\n".join(["y"] * LONGEST_TRACEBACK)))
    assert long.traceback.startswith("(cut, ")
    assert describe(ValueError("z" * LONGEST_MESSAGE)).message == "z" * LONGEST_MESSAGE


def _chained(count: int) -> BaseException:
    error: BaseException = ValueError("first")
    for number in range(count):
        error, before = ValueError(number), error
        error.__cause__ = before
    return error


def _nested(depth: int) -> BaseException:
    error: Exception = ValueError("within")
    for _ in range(depth):
        error = ExceptionGroup("some", [error])
    return error


def _recursing(depth: int) -> BaseException:
    def recur(left: int) -> None:
        if left == 0:
            raise ValueError("at the bottom")
        recur(left - 1)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + limit)
    try:
        recur(depth)
    except ValueError as error:
        return error
    finally:
        sys.setrecursionlimit(limit)
    raise AssertionError


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: _chained(10_000), "more exceptions came before"),
        (
            lambda: ExceptionGroup("some", [ValueError(n) for n in range(100_000)]),
            "and 99985 more exceptions",
        ),
        (
            lambda: ExceptionGroup("some", [ExceptionGroup("x", [ValueError()] * 999)] * 999),
            "more exceptions",
        ),
        (lambda: _nested(50_000), "ExceptionGroup: some"),
        (lambda: _recursing(20_000), "only the last 100 frames"),
        (lambda: ValueError("x" * 50_000_000), "cut, "),
        (lambda: ValueError(*["x" * 1_000_000] * 50), "cut, "),
        (lambda: OddError("x" * 50_000_000), "cut, "),
        (lambda: OddError(RecursionError()), "OddError"),
    ],
)
def test_an_immense_exception_is_described_in_bounds(make: Callable[[], BaseException], shown: str) -> None:
    error = make()
    before = tracemalloc_peak(lambda: str(ValueError("x")))

    peak = tracemalloc_peak(lambda: describe(error))

    described = describe(error)
    assert len(described.type) + len(described.message) + len(described.traceback) < 2 * LONGEST_TRACEBACK
    assert shown in described.traceback
    assert peak - before < 300_000_000
    _unlink(error)


def tracemalloc_peak(act: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _unlink(error: BaseException | None) -> None:
    """Take a chain apart: Python recurses where it lets go of a long one."""
    while error is not None:
        error.__cause__, error = None, error.__cause__


# Delays

durations = st.one_of(st.floats(), st.integers(), st.timedeltas())
nonsense = st.one_of(st.none(), texts, st.booleans(), st.lists(st.integers()), st.just(object()))


class Answering:
    """A backoff that answers as it was told to: an exception is raised."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def delay(self, retry: int, random: object) -> Any:
        assert retry == 1
        assert random
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


errors = st.sampled_from([ValueError(), KeyError(3), SystemExit(1), GeneratorExit(), BaseException("odd")])


@given(st.one_of(durations, nonsense, errors))
def test_whatever_a_backoff_says_the_next_try_is_within_a_hundred_years(answer: Any) -> None:
    verdict = raised(ValueError(), RetryPolicy(default=Answering(answer)))

    assert verdict.outcome is AttemptOutcome.FAILED
    assert 0 <= verdict.delay <= LONGEST
    held = verdict.delay > THRESHOLD
    assert verdict.status is (JobStatus.HELD_ON_MASTER if held else JobStatus.ASSIGNED_TO_BUCKET)


@given(durations)
@pytest.mark.parametrize("signal", [Retry, Snooze])
def test_a_handler_asks_for_a_delay_within_a_hundred_years_or_is_refused(signal: Any, delay: Any) -> None:
    try:
        made = signal(delay)
    except ValueError:
        assert delay != delay or delay < type(delay)(0)  # noqa: PLR0124 - nan
    else:
        assert 0 <= raised(made).delay <= LONGEST


@given(nonsense.filter(lambda value: value is not None))
@pytest.mark.parametrize("signal", [Retry, Snooze])
def test_what_is_no_delay_is_refused_where_it_stands(signal: Any, delay: Any) -> None:
    with pytest.raises(TypeError, match="duration"):
        signal(delay)


def test_a_delay_beyond_all_calendars_is_a_hundred_years() -> None:
    for beyond in (inf, 1e300, 10**400, timedelta.max):
        assert to_delay(beyond) == LONGEST
        assert FixedBackoff(beyond).delay(1, lambda: 0.0) == LONGEST
    with pytest.raises(ConfigurationError, match="seconds"):
        FixedBackoff(nan)


# Policies


@pytest.mark.parametrize("five", [5, 5.0, timedelta(seconds=5), FixedBackoff(5)], ids=repr)
def test_a_number_or_a_timedelta_stands_for_a_fixed_backoff(five: Any) -> None:
    by_default, by_error = RetryPolicy(default=five), RetryPolicy(by_error={OSError: five})

    assert raised(ValueError(), by_default).delay == raised(OSError(), by_error).delay == 5


@pytest.mark.parametrize("types", [PermissionError, [PermissionError], {PermissionError}, (PermissionError,)])
def test_types_to_give_up_on_come_in_any_collection(types: Any) -> None:
    assert raised(PermissionError(), RetryPolicy(give_up_on=types)).status is JobStatus.FAILED


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("default", "5"),
        ("default", None),
        ("default", -1),
        ("default", nan),
        ("default", FixedBackoff),
        ("by_error", [(OSError, FixedBackoff(1))]),
        ("by_error", {"OSError": FixedBackoff(1)}),
        ("by_error", {OSError: "soon"}),
        ("by_error", {OSError(): 1}),
        ("give_up_on", ["PermissionError"]),
        ("give_up_on", 5),
        ("give_up_on", "PermissionError"),
        ("give_up_on", int),
    ],
    ids=repr,
)
def test_a_policy_of_the_wrong_shape_is_refused_where_it_stands(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        RetryPolicy(**{setting: value})


@given(exceptions())
def test_what_cannot_be_judged_is_a_failure_like_any_other(error: BaseException) -> None:
    verdict = outcome.unjudged(claim(), AttemptOutcome.FAILED, error, lambda: 0.5, THRESHOLD)

    assert (verdict.status, verdict.retries) == (JobStatus.ASSIGNED_TO_BUCKET, 1)
    assert 0 < verdict.delay <= 1
