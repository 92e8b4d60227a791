"""When a failed job is tried again."""

from datetime import timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobmaster import ConfigurationError, ExponentialBackoff, FixedBackoff, RetryPolicy

spans = st.floats(0, 1e6)
factors = st.floats(1, 100)
jitters = st.floats(0, 1)
randoms = st.floats(0, 1, exclude_max=True)
retries = st.integers(1, 1001)
backoffs = st.builds(ExponentialBackoff, base=spans, factor=factors, cap=spans, jitter=jitters)


def exact(backoff: ExponentialBackoff, retry: int) -> Decimal:
    """Return the delay before jitter by the formula, in numbers that do not overflow."""
    with localcontext() as context:
        context.prec = 30
        full = Decimal(backoff.base) * Decimal(backoff.factor) ** (retry - 1)
        return min(Decimal(backoff.cap), full)


class TestExponentialBackoff:
    @given(backoffs, retries, randoms)
    def test_the_delay_is_within_its_bounds(
        self, backoff: ExponentialBackoff, retry: int, random: float
    ) -> None:
        delay = backoff.delay(retry, lambda: random)

        assert 0 <= delay <= backoff.cap
        without_jitter = backoff.delay(retry, lambda: 0.0)
        assert without_jitter * (1 - backoff.jitter) <= delay <= without_jitter

    @given(backoffs, retries)
    @example(ExponentialBackoff(base=0, factor=10), 1001)
    def test_the_delay_follows_the_formula(self, backoff: ExponentialBackoff, retry: int) -> None:
        delay = backoff.delay(retry, lambda: 0.0)

        assert delay == pytest.approx(float(exact(backoff, retry)), rel=1e-9, abs=1e-300)

    @given(backoffs, retries, randoms)
    def test_the_delay_never_gets_shorter(
        self, backoff: ExponentialBackoff, retry: int, random: float
    ) -> None:
        assert backoff.delay(retry, lambda: random) <= backoff.delay(retry + 1, lambda: random)

    @given(backoffs, retries)
    def test_more_jitter_means_a_shorter_delay(self, backoff: ExponentialBackoff, retry: int) -> None:
        delays = [backoff.delay(retry, lambda share=share: share) for share in (0.0, 0.5, 0.999)]  # type: ignore[misc]

        assert delays == sorted(delays, reverse=True)

    def test_the_default(self) -> None:
        backoff = ExponentialBackoff()

        assert [backoff.delay(retry, lambda: 0.0) for retry in (1, 2, 3, 10, 11, 1000)] == [
            1.0,
            2.0,
            4.0,
            512.0,
            600.0,
            600.0,
        ]
        assert backoff.delay(3, lambda: 0.5) == 3.0

    def test_durations_may_be_timedeltas(self) -> None:
        backoff = ExponentialBackoff(base=timedelta(seconds=2), cap=timedelta(minutes=1), jitter=0)

        assert [backoff.delay(retry, lambda: 0.9) for retry in (1, 2, 10)] == [2.0, 4.0, 60.0]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"base": -1},
            {"cap": -0.1},
            {"factor": 0.5},
            {"jitter": 1.5},
            {"jitter": -1},
            {"base": float("nan")},
        ],
        ids=str,
    )
    def test_settings_out_of_range_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            ExponentialBackoff(**wrong)


class TestFixedBackoff:
    @given(spans, retries, randoms)
    def test_the_delay_is_always_the_same(self, seconds: float, retry: int, random: float) -> None:
        assert FixedBackoff(seconds).delay(retry, lambda: random) == seconds
        assert FixedBackoff(timedelta(seconds=1.5)).delay(retry, lambda: random) == 1.5


class TestRetryPolicy:
    @given(st.integers(0, 50), st.integers(0, 50))
    def test_there_are_as_many_retries_as_were_asked_for(self, used: int, allowed: int) -> None:
        delay = RetryPolicy(FixedBackoff(7)).next_delay(ValueError(), used, allowed, lambda: 0.0)

        assert delay == (7 if used < allowed else None)

    @given(st.integers(0, 30))
    def test_the_first_retry_has_the_shortest_delay(self, used: int) -> None:
        policy = RetryPolicy(ExponentialBackoff(base=1, factor=2, cap=2**40, jitter=0))

        assert policy.next_delay(ValueError(), used, 100, lambda: 0.0) == float(Fraction(2) ** used)

    def test_the_first_entry_that_fits_the_error_decides(self) -> None:
        policy = RetryPolicy(
            default=FixedBackoff(1),
            by_error={LookupError: FixedBackoff(2), KeyError: FixedBackoff(3), OSError: FixedBackoff(4)},
        )

        def delay(error: Exception) -> float | None:
            return policy.next_delay(error, 0, 3, lambda: 0.0)

        assert [delay(e) for e in (ValueError(), LookupError(), KeyError(), ConnectionError())] == [
            1,
            2,
            2,
            4,
        ]

    def test_some_errors_are_never_retried(self) -> None:
        policy = RetryPolicy(by_error={OSError: FixedBackoff(1)}, give_up_on=(PermissionError,))

        assert policy.next_delay(PermissionError(), 0, 3, lambda: 0.0) is None
        assert policy.next_delay(FileNotFoundError(), 0, 3, lambda: 0.0) == 1
