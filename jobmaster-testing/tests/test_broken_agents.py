"""The suite fails for agents that are wrong, each in one way."""

from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import UUID

import pytest
from attrs import evolve

from jobmaster.contracts import AgentRepository, Message, SavePending
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import Bucket, BucketPage, Claim, Cursor, JobReceipt, Position
from jobmaster_testing.contracts import AgentContract
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.factories import make_bucket

pytestmark = pytest.mark.anyio


class CountsOnceByJob(MemoryAgent):
    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        known = {job_id for _, job_id, _ in self._mailbox.letters}
        await super().push([m for m in messages if m.new.job.id not in known])
        return [JobReceipt(job_id=m.new.job.id, accepted_by=self.name) for m in messages]


class SaysEverythingIsSaved(MemoryAgent):
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        page = await super().pull(bucket, cursor, limit, known)
        return evolve(page, claims=[evolve(claim, saved=True) for claim in page.claims])


class ForgetsWhatIsInHand(MemoryAgent):
    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        page = await super().exposed(bucket, limit)
        return evolve(page, claims=list[Claim](), more=False)


class LetsFormerOwnersPull(MemoryAgent):
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        stored = evolve(bucket, epoch=self._mailbox.epochs.get(bucket.id, bucket.epoch))
        return await super().pull(stored, cursor, limit, known)


class WithdrawsWhatIsInHand(MemoryAgent):
    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        return frozenset(m[0] for m in messages if self._mailbox.letters.pop((bucket_id, *m), None))


class DeletesWithTheBucket(MemoryAgent):
    async def drop_bucket(self, bucket_id: UUID) -> bool:
        for key in [key for key in self._mailbox.letters if key[0] == bucket_id]:
            del self._mailbox.letters[key]
        return await super().drop_bucket(bucket_id)


class DrainsWhatIsDue(MemoryAgent):
    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        return [m for m in await super().read_all(bucket_id, limit) if not m.new.delay]


class ShowsWhatIsSaved(MemoryAgent):
    async def unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> SavePending:
        found = await super().unsaved(bucket, age, after, limit)
        return evolve(found, messages=await self.read_all(bucket.id, limit))


class StartsOver(MemoryAgent):
    async def unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> SavePending:
        del after
        return await super().unsaved(bucket, age, None, limit)


class AcknowledgesInEveryBucket(MemoryAgent):
    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        del bucket
        for key in [key for key in self._mailbox.letters if key[1:] in messages]:
            del self._mailbox.letters[key]


class SetsAsideWhatIsInHand(MemoryAgent):
    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        for letter in self._mailbox.letters.values():
            letter.handed_out = False
        return await super().set_aside(bucket, aside, waited, keep, limit, but)


class RemovesWhateverLiesAside(MemoryAgent):
    async def remove_aside(self, aside: UUID, messages: Sequence[Message]) -> None:
        await self.acknowledge(make_bucket(id=aside), [(one.new.job.id, one.attempt) for one in messages])


DEFECTS_OF_AGENTS: Mapping[Callable[[str], AgentRepository], str] = {
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


@pytest.mark.parametrize(("provider", "test"), DEFECTS_OF_AGENTS.items())
async def test_a_wrong_agent_fails_where_it_is_wrong(
    provider: Callable[[str], AgentRepository], test: str
) -> None:
    async def run(agent: AgentRepository) -> None:
        depot = Depot(await make_world(MemoryMaster()), agent)
        await getattr(AgentContract(), test)(depot)

    await run(MemoryAgent("Agent-1"))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(provider("Agent-1"))
