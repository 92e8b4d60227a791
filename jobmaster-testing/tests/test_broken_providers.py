"""The suite fails for providers that are wrong, each in one way."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from jobmaster.contracts import (
    Assignment,
    CancelAnswer,
    ClusterChange,
    Departure,
    DurabilityRisk,
    Handover,
    HandoverResult,
    HeartbeatReply,
    Mark,
    MasterRepository,
    Message,
    Moving,
    Rejection,
    Room,
    WholeJob,
)
from jobmaster.memory import MemoryMaster
from jobmaster.memory.assignments import MemoryAssignments
from jobmaster.memory.buckets import MemoryBuckets
from jobmaster.memory.claims import MemoryClaims
from jobmaster.memory.clusters import MemoryClusters
from jobmaster.memory.control import MemoryControl
from jobmaster.memory.handovers import MemoryHandovers
from jobmaster.memory.jobs import MemoryJobs
from jobmaster.memory.members import MemoryMembers
from jobmaster.memory.outcomes import MemoryOutcomes
from jobmaster.memory.requests import MemoryRequests
from jobmaster.memory.rescue import MemoryRescue
from jobmaster.memory.schedules import MemorySchedules
from jobmaster.memory.transfers import MemoryTransfers
from jobmaster.memory.workers import MemoryWorkers
from jobmaster.models import (
    AgentRecord,
    Bucket,
    BucketPage,
    CancelResult,
    ClusterRecord,
    Cursor,
    Job,
    JobReceipt,
    Load,
    NewJob,
    Report,
)
from jobmaster.schedule_models import DueSchedules, ScheduleReceipt, ScheduleRecord, ScheduleWrite
from jobmaster.states import Priority, WorkerRequest
from jobmaster_testing.contracts import MasterContract
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.wrapping import STORES

pytestmark = pytest.mark.anyio


class NamesNoRemedy(MemoryMaster):
    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        return [DurabilityRisk(setting="flushes", value="off", means="all is lost", remedy="")]


class ReversesReceipts(MemoryJobs):
    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        return list(reversed(await super().insert(jobs)))


class IgnoresKeys(MemoryJobs):
    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        return await super().insert([evolve(new, job=evolve(new.job, key=None)) for new in jobs])


class IgnoresEpochs(MemoryOutcomes):
    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        epochs = {bucket.id: bucket.epoch for bucket in self.rows.tables.buckets.values()}
        return await super().report([evolve(r, epoch=epochs.get(r.bucket_id, r.epoch)) for r in reports])


class LetsAnyoneRead(MemoryClaims):
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        return await super().pull(self.rows.tables.buckets[bucket.id], cursor, limit, known)


class LetsAnyoneMark(MemoryOutcomes):
    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        await super().mark(self.rows.tables.buckets[bucket.id], marks)


class SkipsLateJobs(MemoryClaims):
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        page = await super().pull(bucket, cursor, limit, known)
        return evolve(page, claims=page.claims[:-1]) if page.more else page


class GivesTooMuch(MemoryAssignments):
    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        generous = [evolve(room, free=room.free + 1) for room in rooms]
        return await super().assign_due(cluster_id, ahead, generous)


class CountsParkedJobsAsDue(MemoryAssignments):
    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        parked = [row.job for row in self.rows.tables.live.among(None) if row.parked]
        places = {(job.lane, job.priority) for job in parked if job.cluster_id == cluster_id}
        return await super().due_places(cluster_id, waited) | places


class TakesWhatIsInHand(MemoryBuckets):
    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        self.rows.tables.handed_out.pop(bucket.id, None)
        return await super().hold_unread(bucket, waited, keep, limit)


class TakesTheFirst(MemoryBuckets):
    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        del keep
        return await super().hold_unread(bucket, waited, 0, limit)


class HoldsWhateverItsPlacing(MemoryBuckets):
    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        placed = {row.job.id: row.placed for row in self.rows.tables.live.values()}
        now = [evolve(one, placed=placed.get(one.new.job.id, 0)) for one in messages]
        return await super().hold_messages(bucket_id, now)


class StaysSilent(MemoryBuckets):
    def _is_silent(self, bucket: Bucket) -> bool:
        return bucket.id in self.rows.tables.silent_at


class RenewsEverybody(MemoryWorkers):
    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        reply = await super().heartbeat(worker_ids, loads, lease, rescuing)
        return evolve(reply, alive=frozenset(worker_ids))


class LooksForNothing(MemoryWorkers):
    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,  # noqa: ARG002 - as the contract has it
    ) -> HeartbeatReply:
        return await super().heartbeat(worker_ids, loads, lease)


class TellsNobodyOfCancels(MemoryWorkers):
    def _cancelling(self) -> set[UUID]:
        return set()


class ForgetsJobsOfGivenUpBuckets(MemoryBuckets):
    async def release(self, bucket: Bucket) -> int:
        self.rows.owned(bucket)
        return len(self.rows.in_bucket(bucket.id))


class PromisesCancellation(MemoryRequests):
    async def cancel(
        self,
        cluster_id: str,  # noqa: ARG002 - as the contract has it
        job_ids: Sequence[UUID],
        worker: str = "",  # noqa: ARG002 - as the contract has it
    ) -> Sequence[CancelAnswer]:
        return [CancelAnswer(job_id=job_id, result=CancelResult.CANCELLED) for job_id in job_ids]


class ForgetsRequestsWhenItHolds(MemoryHandovers):
    async def undo(self, handover_ids: Sequence[UUID]) -> int:
        handovers = [self.rows.tables.handovers.pop(handover_id) for handover_id in handover_ids]
        held = [row for carried in handovers for row in self._still_there(carried)]
        for row in held:
            row.hold()
        return len(held)


class LetsEveryPlannerWin(MemorySchedules):
    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        versions = {schedule.id: schedule.version for schedule in self.rows.tables.schedules.values()}
        records = [evolve(w.record, version=versions.get(w.record.id, 1)) for w in writes]
        return await super().write(
            [evolve(w, record=record) for w, record in zip(writes, records, strict=True)]
        )


class LeavesFutureJobs(MemorySchedules):
    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        return await super().write([evolve(write, restart=False) for write in writes])


class CallsEveryScheduleFree(MemorySchedules):
    async def due(
        self, cluster_id: str, kinds: Sequence[str], limit: int, without: Collection[UUID] = ()
    ) -> DueSchedules:
        found = await super().due(cluster_id, kinds, limit, without)
        return evolve(found, due=[evolve(schedule, busy=False) for schedule in found.due])


class ShowsWhatCannotBeRead(MemorySchedules):
    async def due(
        self, cluster_id: str, kinds: Sequence[str], limit: int, without: Collection[UUID] = ()
    ) -> DueSchedules:
        return await super().due(cluster_id, kinds, limit + len(without))


class StartsByTheCallersClock(MemorySchedules):
    async def add(
        self, schedules: Sequence[ScheduleRecord], lease: float | None = None
    ) -> Sequence[ScheduleReceipt]:
        return await super().add([evolve(one, starts_now=False) for one in schedules], lease)


class RestsWhatIsRenewed(MemorySchedules):
    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        return await super().write([evolve(write, lapsed=False) for write in writes])


class KeepsDeclarationsForEver(MemorySchedules):
    async def add(
        self, schedules: Sequence[ScheduleRecord], lease: float | None = None
    ) -> Sequence[ScheduleReceipt]:
        return await super().add(schedules, lease and 1e9)


class ForgetsChanges(MemoryClusters):
    async def register(self, cluster: ClusterRecord) -> ClusterRecord:
        change = ClusterChange(reset=["retention"], resume=["lane"])
        await MemoryControl(self.rows).change_cluster(cluster.id, change)
        return await super().register(cluster)


class AsksTheStopped(MemoryControl):
    async def request_worker(self, cluster_id: str, name: str, request: WorkerRequest) -> Sequence[UUID]:
        everybody = [
            w for w in self.rows.tables.workers.values() if (w.cluster_id, w.name) == (cluster_id, name)
        ]
        self.rows.tables.workers.update({w.id: evolve(w, request=request) for w in everybody})
        return [worker.id for worker in everybody]


class DropsJobsOfReports(MemoryOutcomes):
    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        return await super().report([evolve(report, job=None) for report in reports])


class ForgetsHandovers(MemoryHandovers):
    async def hand_over(
        self, cluster_id: str, ahead: float, rooms: Sequence[Room], pusher: UUID
    ) -> HandoverResult:
        found = await super().hand_over(cluster_id, ahead, rooms, pusher)
        await self.close([handover.id for handover in found.handovers])
        return found


class TakesEverythingBack(MemoryHandovers):
    async def undo(self, handover_ids: Sequence[UUID]) -> int:
        for row in self.rows.tables.live.values():
            row.hold()
        return await super().undo(handover_ids)


class LetsAnyonePush(MemoryHandovers):
    def _check_alone(self, bucket_id: UUID, job_ids: Sequence[UUID]) -> None:
        del bucket_id, job_ids


class CallsEveryAttemptOver(MemoryOutcomes):
    async def ended_attempts(self, attempts: Sequence[tuple[UUID, int]]) -> frozenset[tuple[UUID, int]]:
        jobs = {job_id for job_id, _ in await super().ended_attempts(attempts)}
        return frozenset((job_id, number) for job_id, number in attempts if job_id in jobs)


class RetakesForEver(MemoryHandovers):
    async def take_over(self, cluster_id: str, age: float, pusher: UUID, limit: int) -> Sequence[Handover]:
        del age
        return await super().take_over(cluster_id, 0, pusher, limit)


class TakesAllBuckets(MemoryRescue):
    async def take_lost_buckets(
        self, cluster_id: str, rescuer: UUID, limit: int, agents: Sequence[str] | None = None
    ) -> Sequence[Bucket]:
        del agents
        return await super().take_lost_buckets(cluster_id, rescuer, limit)


class MovesWhatMayBeInHand(MemoryRequests):
    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        if row := self.rows.tables.live.get(job_id):
            row.hold()
        await super().reschedule(cluster_id, job_id, delay, withdrawn)


class RepointsEverything(MemoryMembers):
    async def register_agents(
        self, agents: Sequence[AgentRecord], *, repoint: Sequence[str] = ()
    ) -> Sequence[AgentRecord]:
        return await super().register_agents(agents, repoint=[*repoint, *(a.name for a in agents)])


DEFECTS: Mapping[type[Any], str] = {
    ReversesReceipts: "test_receipts_come_in_order",
    NamesNoRemedy: "test_what_can_lose_jobs_is_said_with_what_it_means_and_the_remedy",
    IgnoresKeys: "test_a_key_in_use_gives_the_first_job",
    IgnoresEpochs: "test_a_report_of_a_former_owner_changes_nothing",
    LetsAnyoneRead: "test_a_former_owner_cannot_read",
    LetsAnyoneMark: "test_a_former_owner_cannot_mark",
    SkipsLateJobs: "test_pages_follow_one_another",
    GivesTooMuch: "test_several_buckets_of_one_place_share_the_jobs",
    CountsParkedJobsAsDue: "test_due_places_are_those_of_held_jobs_that_are_due",
    TakesWhatIsInHand: "test_what_is_in_hand_stays",
    TakesTheFirst: "test_the_first_ones_stay_and_no_more_go_than_are_wanted",
    HoldsWhateverItsPlacing: "test_a_message_of_another_time_says_nothing_about_the_job_now",
    StaysSilent: "test_an_owner_is_silent_until_it_shows_a_sign_of_life",
    RenewsEverybody: "test_a_heartbeat_answers_for_each_worker",
    LooksForNothing: "test_a_bucket_left_behind_needs_a_rescue",
    TellsNobodyOfCancels: "test_a_heartbeat_tells_of_requests_in_the_buckets_of_each_worker",
    ForgetsJobsOfGivenUpBuckets: "test_releasing_holds_all_jobs_as_they_are",
    PromisesCancellation: "test_a_held_job_is_cancelled_at_once",
    LetsEveryPlannerWin: "test_a_stale_write_changes_nothing",
    LeavesFutureJobs: "test_a_restart_takes_back_what_nobody_can_have_in_hand",
    CallsEveryScheduleFree: "test_a_schedule_is_busy_until_its_newest_job_has_ended",
    ForgetsChanges: "test_registering_again_leaves_changes_alone",
    AsksTheStopped: "test_a_request_is_shown_on_the_workers_of_that_name_that_run",
    ShowsWhatCannotBeRead: "test_schedules_that_the_caller_cannot_read_are_left_to_others",
    StartsByTheCallersClock: "test_a_schedule_that_starts_now_counts_from_the_stores_now",
    RestsWhatIsRenewed: "test_only_a_declaration_that_has_lapsed_until_the_end_is_laid_to_rest",
    KeepsDeclarationsForEver: "test_a_declaration_lapses_unless_it_is_renewed",
    CallsEveryAttemptOver: "test_only_attempts_with_an_end_on_record_have_ended",
    ForgetsHandovers: "test_clusters_share_no_handovers",
    RepointsEverything: "test_an_agent_keeps_its_fingerprint_and_shows_it",
    TakesAllBuckets: "test_buckets_of_the_agents_in_reach_are_taken",
}
DEFECTS_IN_BUCKETS: Mapping[type[Any], str] = {
    DropsJobsOfReports: "test_a_new_job_ends_once",
    IgnoresEpochs: "test_a_new_job_of_a_former_owner_is_not_stored",
    ForgetsRequestsWhenItHolds: "test_only_what_the_handover_is_about_is_ended",
    TakesEverythingBack: "test_jobs_of_a_handover_that_is_gone_are_left_alone",
    LetsAnyonePush: "test_a_job_that_another_handover_has_gets_none_alone",
    RetakesForEver: "test_a_handover_is_retaken_when_it_is_old",
    MovesWhatMayBeInHand: "test_a_job_whose_withdrawal_somebody_undid_is_not_moved",
}


def with_defect(defect: type[Any]) -> MasterRepository:
    """Return a master with a wrong store instead of the right one that it derives from, or one that is wrong itself."""
    if issubclass(defect, MemoryMaster):
        return defect()
    master = MemoryMaster()
    right = next(store for store in STORES if isinstance(getattr(master, store, None), defect.__bases__))
    setattr(master, right, defect(master.rows))
    return master


@pytest.mark.parametrize(("defect", "test"), DEFECTS.items())
async def test_a_wrong_provider_fails_where_it_is_wrong(defect: type[Any], test: str) -> None:
    run = getattr(MasterContract(), test)

    await run(await make_world(MemoryMaster()))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(await make_world(with_defect(defect)))


@pytest.mark.parametrize(("defect", "test"), DEFECTS_IN_BUCKETS.items())
async def test_a_wrong_provider_fails_where_jobs_lie_on_agents(defect: type[Any], test: str) -> None:
    async def run(master: MasterRepository) -> None:
        world = await make_world(master)
        await getattr(MasterContract(), test)(world, await world.bucket(agent="Agent-1"))

    await run(MemoryMaster())
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(with_defect(defect))


# Of two clusters


class GivesUpWhatHasChanged(MemoryTransfers):
    def _is_unchanged(self, cluster_id: str, thing: Moving) -> bool:
        return self._is_in(cluster_id, thing.id)


class ForgetsWhatDeparted(MemoryTransfers):
    async def departures(
        self,
        cluster_id: str,  # noqa: ARG002 - as the contract has it
        limit: int,  # noqa: ARG002 - as the contract has it
    ) -> Sequence[Departure]:
        return ()


class LetsEverythingIn(MemoryTransfers):
    async def admit(
        self, cluster_id: str, consignment: UUID, ids: Sequence[UUID], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        staged = self.rows.tables.arrivals.get((cluster_id, consignment), {})
        return await super().admit(cluster_id, consignment, [*ids, *staged], keep_keys=keep_keys)


class LosesWhatItCannotLetIn(MemoryTransfers):
    async def admit(
        self, cluster_id: str, consignment: UUID, ids: Sequence[UUID], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        found = await super().admit(cluster_id, consignment, ids, keep_keys=keep_keys)
        self.rows.tables.arrivals.clear()
        return found


class ForgetsAttemptsOnTheWay(MemoryTransfers):
    def _whole(self, job: Job) -> WholeJob:
        return evolve(super()._whole(job), attempts=super()._whole(job).attempts[-1:])


MOVING_DEFECTS: Mapping[type[Any], str] = {
    GivesUpWhatHasChanged: "test_a_job_that_was_rescheduled_meanwhile_stays",
    ForgetsWhatDeparted: "test_departures_are_told_until_they_are_forgotten",
    LetsEverythingIn: "test_what_did_not_depart_is_not_admitted",
    LosesWhatItCannotLetIn: "test_a_job_whose_key_was_taken_since_stays_staged",
    ForgetsAttemptsOnTheWay: "test_a_job_that_was_tried_twice_keeps_both_attempts",
}


@pytest.mark.parametrize(("defect", "test"), MOVING_DEFECTS.items())
async def test_a_provider_that_is_wrong_about_moving_fails_where_it_is_wrong(
    defect: type[Any], test: str
) -> None:
    run = getattr(MasterContract(), test)

    right, wrong = MemoryMaster(), with_defect(defect)
    await run(await make_world(right), await make_world(right))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(await make_world(wrong), await make_world(wrong))
