"""Bring back what dead workers held: by lease, within seconds, through any live worker of the cluster."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define, field, frozen

from jobmaster._flow.attemptlog import rescued
from jobmaster._flow.handover import answers, return_bucket
from jobmaster._policy.lost import lost_error
from jobmaster._policy.poison import CRASHES_UNTIL_POISON, after_crash
from jobmaster.errors import LeaseLostError, StoreUnavailableError
from jobmaster.models import AttemptError, Bucket, Claim, Cursor, Report, WorkerRecord
from jobmaster.states import AttemptOutcome, BucketStatus, JobStatus

if TYPE_CHECKING:
    from jobmaster._flow.in_flight import Attempt
    from jobmaster._flow.reach import Reach
    from jobmaster.clock import Clock
    from jobmaster.contracts import AgentRepository, MasterRepository

log = logging.getLogger("jobmaster.rescue")

BUCKETS_AT_ONCE = 10
JOBS_AT_ONCE = 500
DOUBT = 60.0
"""Seconds in which a take-over without an answer may still happen: its caller looks for its buckets that long."""


async def _always() -> bool:
    return True


@frozen
class RescueResult:
    """Buckets taken over, jobs that may have been running, jobs that only waited, orphans swept up."""

    buckets: int = 0
    lost: int = 0
    released: int = 0
    orphans: int = 0

    @property
    def found(self) -> bool:
        """Whether there was anything to do."""
        return any((self.buckets, self.lost, self.released, self.orphans))


@define(eq=False)
class Rescue:
    """Takes over lost buckets and drains them to the master.

    A rescuer that dies half-way leaves its buckets to the next one: each job moves in one write, and a moved job is no
    longer in the bucket. It brings back buckets on the agents within reach; if one turns out to be unreachable, its
    buckets are left to a process that can reach it. `may_judge` tells whether leases that seem to have expired really
    have, rather than the store's clock having jumped.
    """

    cluster_id: str
    master: MasterRepository
    agents: Reach
    clock: Clock
    may_judge: Callable[[], Awaitable[bool]] = _always
    _draining: dict[UUID, Bucket] = field(factory=dict, init=False)
    _doubtful_until: float = field(default=float("-inf"), init=False)

    async def run_once(self, rescuer: UUID | None) -> RescueResult:
        """Rescue the buckets that are lost now, for a live worker of this process: without one nothing is taken."""
        if rescuer is None or not await self._is_needed():
            return RescueResult()
        taken = await self._take(rescuer)
        self._draining.update({bucket.id: bucket for bucket in taken})
        lost = released = 0
        if self._draining:
            lost, released = await self._drain_all()
        orphans = await self.master.rescue.sweep_orphans(self.cluster_id)
        return RescueResult(len(taken), lost, released, orphans)

    @property
    def unfinished(self) -> bool:
        """Whether there are buckets that this process has begun to drain, or may have taken over."""
        return bool(self._draining) or self.clock.monotonic() < self._doubtful_until

    async def _is_needed(self) -> bool:
        if self.unfinished:
            return True
        return await self.master.rescue.is_needed(self.cluster_id) and await self.may_judge()

    async def _take(self, rescuer: UUID) -> Sequence[Bucket]:
        """Take over lost buckets. After a failure, look for those taken over although no answer said so."""
        before, self._doubtful_until = self._doubtful_until, self.clock.monotonic() + DOUBT
        names = self.agents.reachable()
        taken = list(
            await self.master.rescue.take_lost_buckets(self.cluster_id, rescuer, BUCKETS_AT_ONCE, names)
        )
        if self.clock.monotonic() < before:
            known = self._draining.keys() | {bucket.id for bucket in taken}
            taken += [b for b in await self._draining_for(rescuer) if b.id not in known]
        self._doubtful_until = before
        return taken

    async def _draining_for(self, rescuer: UUID) -> Sequence[Bucket]:
        buckets = await self.master.buckets.list_all(self.cluster_id)
        return [b for b in buckets if b.worker_id == rescuer and b.status is BucketStatus.DRAINING]

    async def _drain_all(self) -> tuple[int, int]:
        """Drain the buckets taken over, this time or before a failure; return (lost, released) jobs."""
        workers = {w.id: w for w in await self.master.workers.list_all(self.cluster_id)}
        lost = released = 0
        for bucket in list(self._draining.values()):
            # Its agent was within reach a moment ago: let no bucket wait for it in vain.
            if bucket.agent not in self.agents.reachable():
                await self._give_away(bucket)
                continue
            owner = workers.get(bucket.former_owner) if bucket.former_owner else None
            in_flight, waiting = await self._bring_back(bucket, owner)
            lost, released = lost + in_flight, released + waiting
        return lost, released

    async def _bring_back(self, bucket: Bucket, owner: WorkerRecord | None) -> tuple[int, int]:
        """Drain a bucket; return how many jobs may have been in flight, and how many only waited."""
        lost, released, agent = 0, None, self.agents[bucket.agent]
        try:
            lost = await self._report_lost(agent, bucket, owner)
            released = await return_bucket(self.master, agent, bucket)
        except LeaseLostError:
            log.info("bucket %s was taken over from us while we drained it", bucket.id)
        except StoreUnavailableError as error:
            if await answers(agent):
                raise
            log.warning(
                "bucket %s is left to processes that can reach %s: %s", bucket.id, bucket.agent, error
            )
            self.agents.leave_alone(bucket.agent)
            await self._give_away(bucket)
            return lost, 0
        else:
            if released is None:
                return lost, 0
        del self._draining[bucket.id]
        return lost, released or 0

    async def _give_away(self, bucket: Bucket) -> None:
        """Leave a bucket to a process that can reach its agent, which may later be this one."""
        await self.master.buckets.set_status(bucket, BucketStatus.LOST)
        del self._draining[bucket.id]

    async def _report_lost(self, agent: AgentRepository, bucket: Bucket, owner: WorkerRecord | None) -> int:
        """Record a lost attempt for each job that the dead owner may have been running."""
        known = await self._known_to_master(bucket)
        count, before = 0, frozenset[UUID]()
        while claims := (await agent.claims.exposed(bucket, JOBS_AT_ONCE)).claims:
            ids = frozenset(claim.job.id for claim in claims)
            if ids == before:
                break
            count += await self._report_page(agent, bucket, owner, [known.get(_key(c), c) for c in claims])
            before = ids
        return count

    async def _known_to_master(self, bucket: Bucket) -> Mapping[Attempt, Claim]:
        """Return the jobs of a bucket on an agent as the master has them: only it knows which starts were recorded.

        Keyed by attempt: the message of an earlier, ended attempt says nothing about the one that waits there now.
        """
        if not bucket.is_on_agent:
            return {}
        found: dict[Attempt, Claim] = {}
        cursor = Cursor()
        while True:
            page = await self.master.claims.pull(bucket, cursor, JOBS_AT_ONCE)
            found |= {_key(claim): claim for claim in page.claims}
            if not page.more:
                return found
            cursor = page.cursor

    async def _report_page(
        self, agent: AgentRepository, bucket: Bucket, owner: WorkerRecord | None, claims: Sequence[Claim]
    ) -> int:
        reports = [self._lost(claim, owner) for claim in claims]
        stale = await self.master.outcomes.report(reports)
        if stale:
            # Raises if they are stale because bucket ownership changed: then their messages stay.
            await self.master.outcomes.mark(bucket, ())
        for claim, report in zip(claims, reports, strict=True):
            if report.job_id not in stale:
                rescued(claim, report)
        await agent.messages.acknowledge(bucket, [(report.job_id, report.attempt) for report in reports])
        return len(reports) - len(stale)

    def _lost(self, claim: Claim, owner: WorkerRecord | None) -> Report:
        blame = after_crash(claim.crashes, suspect=claim.suspect, start_recorded=claim.started_at is not None)
        poisoned, worker = blame.poisoned, owner.name if owner else ""
        return Report(
            job_id=claim.job.id,
            bucket_id=claim.bucket_id,
            epoch=claim.epoch,
            attempt=claim.attempt,
            status=JobStatus.FAILED if poisoned else JobStatus.HELD_ON_MASTER,
            outcome=AttemptOutcome.POISONED if poisoned else AttemptOutcome.LOST,
            started_at=claim.started_at,
            finished_at=self.clock.now(),
            worker=worker,
            host=owner.host if owner else "",
            error=_poison_error() if poisoned else lost_error(worker, claim.started_at),
            retries=claim.retries,
            crashes=blame.crashes,
            suspect=blame.suspect,
            job=None if claim.saved else claim.job,
        )


def _key(claim: Claim) -> Attempt:
    return claim.job.id, claim.attempt


def _poison_error() -> AttemptError:
    return AttemptError(
        type="jobmaster.Poison",
        message=f"the job brought down its worker {CRASHES_UNTIL_POISON} times; fix its handler, then retry it",
    )
