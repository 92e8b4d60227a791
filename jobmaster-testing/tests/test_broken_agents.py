"""The suite fails for agents that are wrong, each in one way."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from jobmaster.contracts import AgentRepository, Message, SavePending
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.memory.agent_buckets import MemoryAgentBuckets
from jobmaster.memory.asides import MemoryAsides
from jobmaster.memory.message_claims import MemoryMessageClaims
from jobmaster.memory.messages import MemoryMessages
from jobmaster.models import Bucket, BucketPage, Claim, Cursor, JobReceipt, Position
from jobmaster_testing.contracts import AgentContract
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.factories import make_bucket
from jobmaster_testing.wrapping import STORES

pytestmark = pytest.mark.anyio


class CountsOnceByJob(MemoryMessages):
    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        known = {job_id for _, job_id, _ in self.mail.box.letters}
        await super().push([m for m in messages if m.new.job.id not in known])
        return [JobReceipt(job_id=m.new.job.id, accepted_by=self.mail.name) for m in messages]


class SaysEverythingIsSaved(MemoryMessageClaims):
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        page = await super().pull(bucket, cursor, limit, known)
        return evolve(page, claims=[evolve(claim, saved=True) for claim in page.claims])


class ForgetsWhatIsInHand(MemoryMessageClaims):
    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        page = await super().exposed(bucket, limit)
        return evolve(page, claims=list[Claim](), more=False)


class LetsFormerOwnersPull(MemoryMessageClaims):
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        stored = evolve(bucket, epoch=self.mail.box.epochs.get(bucket.id, bucket.epoch))
        return await super().pull(stored, cursor, limit, known)


class WithdrawsWhatIsInHand(MemoryMessages):
    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        return frozenset(m[0] for m in messages if self.mail.box.letters.pop((bucket_id, *m), None))


class DeletesWithTheBucket(MemoryAgentBuckets):
    async def drop(self, bucket_id: UUID) -> bool:
        for key in [key for key in self.mail.box.letters if key[0] == bucket_id]:
            del self.mail.box.letters[key]
        return await super().drop(bucket_id)


class DrainsWhatIsDue(MemoryMessages):
    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        return [m for m in await super().read_all(bucket_id, limit) if not m.new.delay]


class ShowsWhatIsSaved(MemoryMessages):
    async def read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> SavePending:
        found = await super().read_unsaved(bucket, age, after, limit)
        return evolve(found, messages=await self.read_all(bucket.id, limit))


class StartsOver(MemoryMessages):
    async def read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> SavePending:
        del after
        return await super().read_unsaved(bucket, age, None, limit)


class AcknowledgesInEveryBucket(MemoryMessages):
    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        del bucket
        for key in [key for key in self.mail.box.letters if key[1:] in messages]:
            del self.mail.box.letters[key]


class SetsAsideWhatIsInHand(MemoryAsides):
    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        for letter in self.mail.box.letters.values():
            letter.handed_out = False
        return await super().set_aside(bucket, aside, waited, keep, limit, but)


class RemovesWhateverLiesAside(MemoryAsides):
    async def remove(self, aside: UUID, messages: Sequence[Message]) -> None:
        these = [(one.new.job.id, one.attempt) for one in messages]
        await MemoryMessages(self.mail).acknowledge(make_bucket(id=aside), these)


DEFECTS_OF_AGENTS: Mapping[type[Any], str] = {
    CountsOnceByJob: "test_a_job_may_lie_in_two_buckets_and_attempts",
    SaysEverythingIsSaved: "test_a_new_job_is_on_its_first_attempt_and_not_saved",
    ForgetsWhatIsInHand: "test_every_message_of_a_page_is_exposed",
    LetsFormerOwnersPull: "test_a_former_owner_can_pull_no_more",
    WithdrawsWhatIsInHand: "test_a_message_that_is_due_is_left",
    DeletesWithTheBucket: "test_dropping_never_deletes_a_message",
    DrainsWhatIsDue: "test_everything_is_drained_due_or_not",
    ShowsWhatIsSaved: "test_saved_messages_are_left_out",
    StartsOver: "test_pages_of_unsaved_messages_follow_one_another",
    SetsAsideWhatIsInHand: "test_what_is_in_hand_is_not_set_aside",
    RemovesWhateverLiesAside: "test_who_is_late_with_bringing_back_takes_nothing_that_came_since",
    AcknowledgesInEveryBucket: "test_a_job_may_lie_in_two_buckets_and_attempts",
}


def with_defect(defect: type[Any]) -> AgentRepository:
    """Return an agent with a wrong store instead of the right one that it derives from."""
    agent = MemoryAgent("Agent-1")
    right = next(store for store in STORES if isinstance(getattr(agent, store, None), defect.__bases__))
    setattr(agent, right, defect(agent.mail))
    return agent


@pytest.mark.parametrize(("defect", "test"), DEFECTS_OF_AGENTS.items())
async def test_a_wrong_agent_fails_where_it_is_wrong(defect: type[Any], test: str) -> None:
    async def run(agent: AgentRepository) -> None:
        depot = Depot(await make_world(MemoryMaster()), agent)
        await getattr(AgentContract(), test)(depot)

    await run(MemoryAgent("Agent-1"))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(with_defect(defect))
