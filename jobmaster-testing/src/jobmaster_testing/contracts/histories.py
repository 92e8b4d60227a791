"""Random histories: for any sequence of calls, the store agrees with a simple model."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest
from attrs import define, field

from jobmaster.contracts import Mark
from jobmaster.errors import InvalidTransitionError, LeaseLostError
from jobmaster.models import Bucket, Claim, JobQuery
from jobmaster.states import OUTCOME_STATUSES, JobStatus
from jobmaster_testing.contracts.model import Expected, Model
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids, room
from jobmaster_testing.factories import ReportFields, make_new_job, make_report

T = TypeVar("T")

STEPS = 60
SEEDS = range(5)
BUCKETS = 3
LATER = 1000.0
"""Seconds until a job that is not due during a test."""

ENDINGS = sorted((outcome, status) for outcome, statuses in OUTCOME_STATUSES.items() for status in statuses)


class HistoryContract(MasterTests, suite=True):
    """Unforeseen sequences of calls."""

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_the_store_agrees_with_a_simple_model(self, world: World, seed: int) -> None:
        buckets = [await world.bucket() for _ in range(BUCKETS)]
        history = History(world, Random(seed), {bucket.id: bucket for bucket in buckets})  # noqa: S311
        try:
            for _ in range(STEPS):
                await history.step()
            await history.check_attempts()
        except AssertionError as error:
            error.add_note("after: " + "; ".join(history.steps))
            raise


@define
class History:
    """Calls one method after another, chosen by `random`, on the store and on the model."""

    world: World
    random: Random
    buckets: dict[object, Bucket]
    steps: list[str] = field(factory=list)
    claims: list[Claim] = field(factory=list)
    former: list[Bucket] = field(factory=list)
    model: Model = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start with an empty model."""
        self.model = Model(bucket.id for bucket in self.buckets.values())

    async def step(self) -> None:
        """Take one step and compare."""
        frequent = [self.insert, self.insert, self.assign, self.read, self.read, self.report, self.report]
        rare = [self.mark, self.cancel, self.retry, self.reschedule, self.release, self.adopt, self.rescue]
        todo = self._one(frequent + rare)
        self.steps.append(todo.__name__)
        await todo()
        await self.check()

    def _one(self, choices: list[T]) -> T:
        return self.random.choice(choices)

    def _bucket(self) -> Bucket:
        return self._one(list(self.buckets.values()))

    def _job(self) -> Expected | None:
        return self._one([*self.model.jobs.values(), None])

    # The calls

    async def insert(self) -> None:
        """Insert jobs in any place, some with a key that may be taken."""
        new = []
        for _ in range(self.random.randint(1, 4)):
            bucket, due = self._one([self._bucket(), None]), self.random.random() < 0.8
            key = self._one([None, None, f"key-{self.random.randint(1, 5)}"])
            job = make_new_job(bucket, delay=0 if due else LATER, cluster_id=self.world.cluster_id, key=key)
            new.append(job)
        receipts = await self.world.master.jobs.insert(new)
        expected = [self.model.insert(n.job, n.bucket_id, due=n.delay == 0) for n in new]
        assert [receipt.job_id for receipt in receipts] == expected

    async def assign(self) -> None:
        """Assign held jobs; the store chooses among those that are due."""
        bucket, free = self._bucket(), self._one([0, 1, 3, 100])
        before = set(self.model.held())
        found = await self.world.master.assignments.assign_due(self.world.cluster_id, 1, [room(bucket, free)])
        records = [r for r in await self.world.all_jobs() if r.id in before and r.bucket_id == bucket.id]
        assert len(records) == min(free, len(before)) == found.assigned.get(bucket.id, 0)
        self.model.place(ids(records), bucket.id)

    async def read(self) -> None:
        """Read a bucket; the claims are reported later, or never."""
        bucket = self._bucket()
        claims = await self.world.claims(bucket)
        assert sorted(ids(claims)) == sorted(self.model.readable(bucket.id))
        self.claims += claims

    async def report(self) -> None:
        """Report about a claim from any time in the past."""
        if not self.claims:
            return
        claim, (outcome, status) = self._one(self.claims), self._one(ENDINGS)
        fields: ReportFields = {"outcome": outcome, "retries": claim.retries + 1}
        if not status.is_terminal:
            fields["delay"] = self._one([0.0, LATER])
        if self.random.random() < 0.2:
            status, fields = JobStatus.HELD_ON_MASTER, {"outcome": None, "parked": self._one([None, "why"])}
        report = make_report(claim, status, **fields)
        stale = {claim.job.id} if self.model.is_stale(claim) else set()
        assert await self.world.master.outcomes.report([report]) == stale
        self.model.report(claim, report)

    async def mark(self) -> None:
        """Mark a claim of a bucket that is still owned."""
        claims = [c for c in self.claims if self.model.epochs[c.bucket_id] == c.epoch]
        if not claims:
            return
        claim, status = self._one(claims), self._one([JobStatus.QUEUED, JobStatus.PROCESSING])
        mark = Mark(job_id=claim.job.id, attempt=claim.attempt, status=status)
        await self.world.master.outcomes.mark(self.buckets[claim.bucket_id], [mark])
        self.model.mark(claim, status)

    async def cancel(self) -> None:
        """Cancel any job."""
        if (expected := self._job()) is None:
            return
        job_id = expected.job.id
        [answer] = await self.world.master.requests.cancel(self.world.cluster_id, [job_id])
        assert answer.result is self.model.cancel(job_id)

    async def retry(self) -> None:
        """Retry any job; the store gives its next attempt an unused number."""
        if (expected := self._job()) is None:
            return
        job_id, finished = expected.job.id, expected.status.is_terminal
        assert finished == await _allowed(
            lambda: self.world.master.requests.retry(self.world.cluster_id, job_id)
        )
        if finished:
            record = await self.world.record(job_id)
            assert all(record.attempt > attempt.number for attempt in record.attempts)
            self.model.retry(job_id, record.attempt)

    async def reschedule(self) -> None:
        """Reschedule any job."""
        if (expected := self._job()) is None:
            return
        job_id, delay = expected.job.id, self._one([0.0, LATER])
        can_move = self.model.can_move(job_id)
        master, cluster_id = self.world.master, self.world.cluster_id
        assert can_move == await _allowed(lambda: master.requests.reschedule(cluster_id, job_id, delay))
        if can_move:
            self.model.reschedule(job_id, due=delay == 0)

    async def release(self) -> None:
        """Release a bucket; a former owner cannot."""
        bucket = self._bucket()
        assert await self.world.master.buckets.release(bucket) == self.model.release(bucket.id)
        for former in self.former[-1:]:
            with pytest.raises(LeaseLostError):
                await self.world.master.buckets.release(former)

    async def adopt(self) -> None:
        """Adopt all parked jobs."""
        bucket, parked = self._bucket(), self.model.parked()
        assert await self.world.master.assignments.adopt_parked([bucket], ["TestJob"], 1000) == len(parked)
        self.model.place(parked, bucket.id)

    async def rescue(self) -> None:
        """Let a worker vanish, and another one take over its bucket."""
        bucket = self._bucket()
        await self.world.master.workers.retire(bucket.worker_id)
        [taken] = await self.world.rescue()
        self.former.append(bucket)
        self.buckets[bucket.id] = taken
        self.model.epochs[bucket.id] += 1
        assert taken.epoch == self.model.epochs[bucket.id]

    # Comparing

    async def check(self) -> None:
        """Compare all jobs, and their count."""
        records = {record.id: record for record in await self.world.all_jobs()}
        assert records.keys() == self.model.jobs.keys()
        for job_id, expected in self.model.jobs.items():
            assert expected.agrees_with(records[job_id]), (expected, records[job_id])
        counts = await self.world.master.jobs.count(self.world.cluster_id, JobQuery())
        assert sum(counts.values()) == len(records)

    async def check_attempts(self) -> None:
        """Compare the attempts of all jobs."""
        for job_id, expected in self.model.jobs.items():
            attempts = await self.world.attempts(job_id)
            assert [attempt.outcome for attempt in attempts] == expected.outcomes
            numbers = [attempt.number for attempt in attempts]
            assert numbers == sorted(set(numbers))


async def _allowed(call: Callable[[], Awaitable[None]]) -> bool:
    try:
        await call()
    except InvalidTransitionError:
        return False
    return True
