"""The ideal schedule that the benchmarks compare with, and the figures that they make of a round (S)."""

from collections.abc import Iterator
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def ideal() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield import_module("bench.ideal")


@pytest.fixture(scope="module")
def played(ideal: Any) -> Any:
    del ideal  # it has put the benchmarks on the path
    return import_module("bench.played")


def _pairs(spans: list[Any]) -> list[tuple[float, float]]:
    return [(span.began, span.ended) for span in spans]


def test_a_job_goes_to_the_slot_that_is_free_first(ideal: Any) -> None:
    jobs = [ideal.Work(0, 3), ideal.Work(0, 1), ideal.Work(0, 1), ideal.Work(0, 1)]

    spans = ideal.ideal_schedule(jobs, [ideal.Presence(2, 0)])

    assert _pairs(spans) == [(0, 3), (0, 1), (1, 2), (2, 3)]


def test_jobs_are_taken_in_the_order_in_which_they_are_due(ideal: Any) -> None:
    late, early = ideal.Work(2, 1), ideal.Work(0, 5)

    spans = ideal.ideal_schedule([late, early], [ideal.Presence(1, 0)])

    assert _pairs(spans) == [(5, 6), (0, 5)]


def test_a_worker_that_joins_takes_jobs_from_then_on(ideal: Any) -> None:
    workers = [ideal.Presence(5, 0), *(ideal.Presence(5, 1) for _ in range(3))]

    spans = ideal.ideal_schedule([ideal.Work(0, 1)] * 100, workers)

    # Five in the first second, twenty in each that follows.
    assert max(span.ended for span in spans) == 6


def test_a_worker_that_leaves_finishes_what_it_has_begun(ideal: Any) -> None:
    workers = [ideal.Presence(1, 0), ideal.Presence(1, 0, left=1.5)]

    spans = ideal.ideal_schedule([ideal.Work(0, 1)] * 6, workers)

    assert sorted(_pairs(spans)) == [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3), (3, 4)]


def test_of_two_free_slots_the_one_that_leaves_first_is_used(ideal: Any) -> None:
    workers = [ideal.Presence(1, 0), ideal.Presence(1, 0, left=0.6)]

    spans = ideal.ideal_schedule([ideal.Work(0, 1), ideal.Work(0.7, 1)], workers)

    assert _pairs(spans) == [(0, 1), (0.7, 1.7)]


def test_a_slot_that_leaves_at_that_moment_begins_nothing(ideal: Any) -> None:
    workers = [ideal.Presence(1, 5), ideal.Presence(1, 0, left=2)]

    assert _pairs(ideal.ideal_schedule([ideal.Work(2, 1)], workers)) == [(5, 6)]


def test_jobs_that_nobody_could_run_are_an_error(ideal: Any) -> None:
    with pytest.raises(ValueError, match="no worker is left"):
        ideal.ideal_schedule([ideal.Work(0, 1)] * 2, [ideal.Presence(1, 0, left=0.5)])

    with pytest.raises(ValueError, match="no worker is left"):
        ideal.ideal_schedule([ideal.Work(0, 1)], [])


times = st.integers(0, 20).map(float)


@given(st.lists(st.tuples(times, times), max_size=30), st.lists(times, min_size=1, max_size=4))
def test_no_slot_is_idle_in_the_ideal_schedule_while_a_job_waits(
    ideal: Any, jobs: list[tuple[float, float]], joins: list[float]
) -> None:
    work = [ideal.Work(due, seconds) for due, seconds in jobs]
    workers = [ideal.Presence(1, joined) for joined in joins]

    spans = ideal.ideal_schedule(work, workers)

    assert [span.seconds for span in spans] == [one.seconds for one in work]
    assert all(span.began >= one.due for span, one in zip(spans, work, strict=True))
    for moment in {span.began for span in spans}:
        there = sum(joined <= moment for joined in joins)
        running = sum(span.began <= moment < span.ended for span in spans)
        waiting = sum(one.due <= moment < span.began for span, one in zip(spans, work, strict=True))
        assert running <= there
        assert running == there or not waiting


def test_a_worker_is_idle_while_it_has_a_slot_to_spare(ideal: Any) -> None:
    runs = [ideal.Span(1, 4), ideal.Span(2, 3), ideal.Span(3, 5)]

    assert _pairs(ideal.idle_spans(ideal.Presence(2, 0), runs)) == [(0, 2), (3, 3), (4, inf)]
    assert _pairs(ideal.idle_spans(ideal.Presence(2, 0, left=4.5), runs)) == [(0, 2), (3, 3), (4, 4.5)]
    assert _pairs(ideal.idle_spans(ideal.Presence(2, 0, left=1.5), runs[:1])) == [(0, 1.5)]
    assert _pairs(ideal.idle_spans(ideal.Presence(2, 0, left=1.5), runs[1:])) == [(0, 1.5)]
    assert _pairs(ideal.idle_spans(ideal.Presence(1, 0, left=1.5), runs[:1])) == [(0, 1)]
    assert _pairs(ideal.idle_spans(ideal.Presence(1, 7), [])) == [(7, inf)]


def test_a_wait_is_needless_as_long_as_one_worker_has_a_slot_throughout(ideal: Any) -> None:
    idle = [ideal.Span(0, 2), ideal.Span(2, 5), ideal.Span(9, inf)]

    assert ideal.needless_wait([ideal.Span(1, 4)], idle) == 2
    assert ideal.needless_wait([ideal.Span(1, 4), ideal.Span(8, 12)], idle) == 3
    assert ideal.needless_wait([ideal.Span(6, 8)], idle) == 0
    assert ideal.needless_wait([], idle) == 0


def test_each_run_that_a_worker_noted_counts(played: Any) -> None:
    notes = [
        ("joined", 0, 0.0),
        ("began", 1, 1.0),
        ("began", 2, 1.5),
        ("ended", 1, 2.0),
        ("began", 1, 3.0),
        ("ended", 1, 4.0),
    ]

    assert played.runs_noted(notes) == [played.Run(1, 1.0, 2.0), played.Run(2, 1.5), played.Run(1, 3.0, 4.0)]


def test_figures_set_what_happened_beside_the_ideal_schedule(ideal: Any, played: Any) -> None:
    # Two workers of one slot; the second one idles while the first one runs three of four jobs.
    runs = [
        [played.Run(0, 10.0, 11.0), played.Run(1, 11.0, 12.0), played.Run(2, 12.0, 13.0)],
        [played.Run(3, 10.0, 11.0)],
    ]
    workers = [ideal.Presence(1, 5.0), ideal.Presence(1, 5.0)]
    round_ = played.Played([ideal.Work(10.0, 1.0)] * 4, workers, runs)

    found = played.figures(round_)

    assert (found["makespan_s"], found["ideal_s"], found["ratio"]) == (3, 2, 1.5)
    assert found["excess_s"] == pytest.approx(3 - 1.15 * 2)
    assert found["needless_s"] == 1
    assert found["shares"] == [3, 1]


def test_a_slot_is_busy_until_its_worker_is_killed(ideal: Any, played: Any) -> None:
    runs = [[played.Run(0, 0.0)], [played.Run(0, 6.0, 7.0), played.Run(1, 7.0, 8.0)]]
    workers = [ideal.Presence(1, 0.0, left=5.0), ideal.Presence(1, 5.5)]

    found = played.figures(played.Played([ideal.Work(0.0, 1.0)] * 2, workers, runs))

    assert found["needless_s"] == 0.5  # of the second worker, from when it joined


def test_waits_of_some_jobs_are_set_beside_the_ideal_schedule(ideal: Any, played: Any) -> None:
    runs = [
        [played.Run(0, 0.0, 9.0), played.Run(1, 9.0, 9.5)],
        [played.Run(2, 2.0, 2.5), played.Run(3, 5.2, 5.7)],
    ]
    workers = [ideal.Presence(1, 0.0), ideal.Presence(1, 0.0)]
    jobs = [ideal.Work(0.0, 9.0), ideal.Work(2.0, 0.5), ideal.Work(2.0, 0.5), ideal.Work(4.0, 0.5)]

    found = played.wait_figures(played.Played(jobs, workers, runs), [1, 2, 3])

    assert (found["wait_s"], found["ideal_wait_s"], found["stuck"]) == (7, 0.5, 1)
    assert found["wait_excess_s"] == pytest.approx(7 - 1.15 * 0.5)


def test_a_kill_is_told_by_what_the_killed_worker_had_to_do_with_each_job(ideal: Any, played: Any) -> None:
    # Ten jobs, two a second, from 0 to 4.5; the first worker is killed at 1.25 while it runs job 1, and has not
    # begun job 2 nor told of the end of job 0; job 4 was sent to it after its death, and comes late, as jobs 0 and 1
    # do for the second time.
    late = {0: 2.75, 1: 3.0, 2: 2.5, 4: 3.75}
    victim = [played.Run(0, 0.0, 0.1), played.Run(1, 0.5)]
    other = [played.Run(n, late.get(n, n / 2), late.get(n, n / 2) + 0.1) for n in range(10)]
    jobs = [ideal.Work(n / 2, 0.1) for n in range(10)]
    workers = [ideal.Presence(0, -5.0, left=1.25), ideal.Presence(0, -5.0)]

    found = played.dip_figures(played.Played(jobs, workers, [victim, other]), killed=1.25, rate=2)

    assert (found["new_wait_s"], found["delayed"]) == (1.75, 1)
    assert found["old_wait_s"] == 1.25
    assert (found["again"], found["again_s"]) == (2, 1.75)
    # What ended in each second from 1.25 on: job 3; jobs 2, 5, 6 and 1; jobs 7, 4 and 8.
    assert found["per_second"] == [1, 4, 3]
    assert found["lowest"] == 0.5
    assert found["low_seconds"] == 1
    assert found["per_second_before"] == [0, 1, 0]


def test_a_kill_that_harms_nothing_makes_no_dip(ideal: Any, played: Any) -> None:
    jobs = [ideal.Work(n / 10, 0.01) for n in range(100)]
    runs = [played.Run(n, n / 10 + 0.02, n / 10 + 0.03) for n in range(100)]
    workers = [ideal.Presence(0, -5.0, left=4.85), ideal.Presence(0, -5.0)]

    found = played.dip_figures(played.Played(jobs, workers, [[], runs]), killed=4.85, rate=11)

    assert found["new_wait_s"] == pytest.approx(0.02)
    assert (found["delayed"], found["old_wait_s"], found["again"], found["again_s"]) == (0, 0, 0, 0)
    assert found["per_second"] == [10] * 5
    assert (found["lowest"], found["low_seconds"]) == (10 / 11, 0)
