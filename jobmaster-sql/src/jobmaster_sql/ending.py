"""Ending jobs that are not in flight as cancelled, on any SQL database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen

from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_sql.columns import ATTEMPT_VALUES
from jobmaster_sql.units import Answer, Batch, Query, Unit


@frozen
class Unstarted:
    """A live row whose job ends before it ran, with ids as the database stores them."""

    stored_id: Any
    cluster_id: str
    bucket_id: Any
    attempt: int


def end_unstarted(rows: Sequence[Unstarted], now: int, worker: str = "") -> tuple[Batch, Batch]:
    """Return the steps that end jobs, at least one, whose live rows are locked."""
    ended = [(row.stored_id,) for row in rows]
    return (
        Batch("attempt_add", ATTEMPT_VALUES, [_never_ran(row, worker, now) for row in rows]),
        Batch("live_delete", ("job_id",), ended),
    )


def let_go(hold: Query, marked: Query) -> Unit[int]:
    """Hold jobs again, and end those that are `marked` as cancelled; return how many are held."""
    answers: list[Answer] = yield hold, marked
    yield from end_marked(answers[1].rows)
    return answers[0].touched


def end_marked(rows: Iterable[Sequence[Any]]) -> Unit[None]:
    """End the jobs in rows as returned by `live_marked`."""
    found = list(rows)
    if found:
        yield end_unstarted([Unstarted(*row[:-1]) for row in found], found[0][-1])


def _never_ran(row: Unstarted, worker: str, now: int) -> tuple[Any, ...]:
    """Return the attempt record that ends a job which was never in flight."""
    outcome, final = AttemptOutcome.CANCELLED.code, JobStatus.CANCELLED.code
    head = (row.stored_id, row.attempt, row.cluster_id, outcome, final, None, now)
    return (*head, worker, "", row.bucket_id, None, None, None)
