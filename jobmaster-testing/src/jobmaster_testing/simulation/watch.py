"""Invariants that are checked during a simulation, at every store call and at every start of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from attrs import define, field

from jobmaster.models import Bucket, BucketPage
from jobmaster.states import JobStatus
from jobmaster_testing.simulation.ledger import Asked, Run
from jobmaster_testing.simulation.processes import Process

if TYPE_CHECKING:
    from jobmaster_testing.simulation.world import World


@define(eq=False)
class Watch:
    """Records violations, and goes on watching."""

    world: World
    found: list[str] = field(factory=list)
    epochs: dict[tuple[str, UUID], int] = field(factory=dict)
    """The highest epoch under which each bucket was read, by store."""
    echoes: int = 0
    """Attempts that were run again after their end was recorded."""
    drained: set[tuple[str, UUID]] = field(factory=set)
    """The processes that drained a bucket, with the bucket."""

    def complain(self, about: str) -> None:
        """Record that a guarantee was broken."""
        self.found.append(f"at {self.world.clock.monotonic():.4f} s: {about}")
        self.world.trace.add("watch", "BROKEN", about)

    # Calls

    def before(self, process: Process, name: str, args: Sequence[Any]) -> None:
        """Inspect a call that is about to happen."""
        if name == "messages.read_all":
            self.drained.add((process.name, args[0]))
        if name == "messages.acknowledge":
            for job_id, attempt in args[1]:
                self._acknowledges(process, args[0], job_id, attempt)

    def _acknowledges(self, process: Process, bucket: Bucket, job_id: UUID, attempt: int) -> None:
        """Check copy, then delete: the master has the state of everything that leaves an agent.

        A process that drains or gives up a bucket afterwards lets the master hold everything left in it. Messages that are
        recorded as missing there are pushed again.
        """
        rows, where = self.world.rows, f"job {job_id}, attempt {attempt}, bucket {bucket.id}"
        if not self.world.has_letter(bucket.id, job_id, attempt):
            return
        if job_id not in rows.jobs:
            self.complain(f"{where}: acknowledged, and the master does not know the job")
        live = rows.live.get(job_id)
        counted_on = live is not None and (live.bucket_id, live.attempt) == (bucket.id, attempt)
        missing = any(h.bucket_id == bucket.id and job_id in h.job_ids for h in rows.handovers.values())
        at_work = not process.is_stopping and (process.name, bucket.id) not in self.drained
        if counted_on and at_work and not missing:
            self.complain(f"{where}: acknowledged, and the master counts on the message")

    def after(self, process: Process, store: str, name: str, args: Sequence[Any], answer: Any) -> None:
        """Inspect a call that has just happened."""
        if name == "claims.pull":
            self._pulled(process, store, args, answer)

    def _pulled(self, process: Process, store: str, args: Sequence[Any], answer: BucketPage) -> None:
        """Check that a bucket has one owner: it is not read under an epoch after it was read there under a later one.

        A rescuer asks the master before the agent, which learns the epoch only then: a process that was frozen in the middle
        of a call may read there until that moment. It no longer runs any of these jobs.
        """
        bucket: Bucket = args[0]
        place = store, bucket.id
        newest = self.epochs.get(place, bucket.epoch)
        if newest > bucket.epoch:
            self.complain(
                f"{process} read bucket {bucket.id} of {store} at epoch {bucket.epoch}, after {newest}"
            )
        self.epochs[place] = max(newest, bucket.epoch)
        for claim in answer.claims:
            if claim.epoch != bucket.epoch:
                self.complain(f"job {claim.job.id} was handed out at epoch {claim.epoch}, not {bucket.epoch}")

    # Jobs

    def accepted(self, asked: Asked, job_id: UUID) -> None:
        """Check that accepted is durable: when the caller is told, the job is on the master or on an agent."""
        if job_id not in self.world.rows.jobs and not self.world.is_at_an_agent(job_id):
            self.complain(f"job {job_id} (number {asked.number}) was accepted and is missing")

    def started(self, run: Run) -> None:
        """Inspect a handler that begins."""
        world, where = self.world, f"job {run.job_id}, attempt {run.attempt}, on {run.process}"
        same = [r for r in world.ledger.runs_of(run.job_id) if r.attempt == run.attempt and r is not run]
        if same and self._is_on_record(run):
            self.echoes += 1
        elif same:
            self.complain(f"{where}: this attempt was started before, on {same[0].process}")
        for other in world.ledger.elsewhere(run):
            if other.process.stands and other.process.thawed_at < world.clock.monotonic():
                self.complain(f"{where}: attempt {other.attempt} still runs on {other.process}")
        row = world.rows.final.get(run.job_id)
        if (
            row is not None
            and row[0] is JobStatus.CANCELLED
            and run.process.thawed_at < world.clock.monotonic()
        ):
            self.complain(f"{where}: started after it was cancelled")

    def _is_on_record(self, run: Run) -> bool:
        """Whether an attempt's end is recorded: then only its message came again, and its report will be stale.

        A handover that was taken over is pushed again, and its jobs may have ended since the master was asked.
        """
        return any(attempt.number == run.attempt for attempt in self.world.rows.attempts.get(run.job_id, ()))

    def due(self, run: Run, asked: Asked | None) -> None:
        """Check that no job starts early: before the earliest moment that a caller asked for, or its schedule."""
        _, nominal = self.world.rows.firings.get(run.job_id, (None, None))
        due = nominal if asked is None else min(asked.dues)
        if due is not None and run.started_at < due and not (asked and asked.retried):
            early = (due - run.started_at).total_seconds()
            self.complain(f"job {run.job_id}, attempt {run.attempt}: started {early:.4f} s too early")
