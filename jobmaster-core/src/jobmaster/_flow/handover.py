"""Moving jobs between the master and agents: handovers to their buckets, and the content of buckets back.

Copy, then delete: a message leaves its agent after the master holds the job, and a handover is forgotten
after its messages are on the agent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define

from jobmaster._text.logtext import counted
from jobmaster.errors import StoreUnavailableError, StoreUnreachableError
from jobmaster.models import Bucket, NewJob, evolve
from jobmaster.states import BucketStatus

if TYPE_CHECKING:
    from jobmaster._flow.reach import Reach
    from jobmaster.clock import Clock
    from jobmaster.contracts import (
        AgentRepository,
        Handover,
        HandoverStore,
        JobStore,
        MasterRepository,
        Message,
        MessageStore,
    )

log = logging.getLogger("jobmaster.handover")

MESSAGES_AT_ONCE = 500
DRAINS = 5
"""How often a bucket is drained again because of late messages, before it is left for the next round."""


@define(eq=False)
class HandoverPusher:
    """Pushes handovers to the agents of their buckets.

    `patience` is for how many seconds a handover belongs to the pusher: after that another pusher may have pushed it, its
    jobs may have run and their messages may be removed, so that a second push would run them again.
    """

    handovers: HandoverStore
    agents: Reach
    clock: Clock
    patience: float

    async def push(
        self, handovers: Sequence[tuple[str, Handover]], asked_at: float, *, retaken: bool = False
    ) -> list[Handover]:
        """Push handovers, each with the name of its agent; return those that arrived.

        A handover that certainly did not arrive is held on the master again. One that may have arrived stays as it is:
        the process that retakes it later pushes it again. This applies to every `retaken` handover, because its former
        pusher may have pushed it. `asked_at` is when the master was asked for them (monotonic).
        """
        arrived: list[Handover] = []
        for name in dict.fromkeys(name for name, _ in handovers):
            if self.clock.monotonic() - asked_at > self.patience:
                late = counted(len(handovers), "handover took", "handovers took")
                log.warning("%s too long to push; left to others", late)
                break
            arrived += await self._push_to(name, [one for agent, one in handovers if agent == name], retaken)
        return arrived

    async def _push_to(self, name: str, handovers: Sequence[Handover], retaken: bool) -> Sequence[Handover]:
        try:
            await self.agents[name].messages.push([message for one in handovers for message in one.messages])
        except StoreUnreachableError as error:
            self.agents.leave_alone(name)
            await self._not_pushed(name, handovers, retaken, error)
            return ()
        except StoreUnavailableError as error:
            self.agents.leave_alone(name)
            log.warning("agent %s did not answer; its jobs will be pushed again: %s", name, error)
            return ()
        self.agents.answered(name)
        await self.handovers.close([one.id for one in handovers])
        return handovers

    async def _not_pushed(
        self, name: str, handovers: Sequence[Handover], retaken: bool, error: StoreUnreachableError
    ) -> None:
        if retaken:
            log.warning("agent %s is away; its jobs will be pushed when it is back: %s", name, error)
        else:
            log.warning("agent %s is away; its jobs stay on the master: %s", name, error)
            await self.handovers.undo([one.id for one in handovers])


async def return_messages(jobs: JobStore, messages: MessageStore, bucket: Bucket) -> int:
    """Bring all messages of a bucket to the master, where their jobs are held; return how many.

    Safe to run concurrently, and to interrupt anywhere.
    """
    count = 0
    while page := await messages.read_all(bucket.id, MESSAGES_AT_ONCE):
        unsaved = [held(message) for message in page if not message.saved]
        if unsaved:
            await jobs.insert(unsaved)
        await messages.acknowledge(bucket, [(message.new.job.id, message.attempt) for message in page])
        count += len(page)
    return count


def held(message: Message) -> NewJob:
    """Return the job of a message to be held on the master, where it keeps its place in the order."""
    return NewJob(job=message.new.job, delay=message.new.delay - message.waited)


def aside_of(bucket_id: UUID) -> UUID:
    """Return the bucket in which unread messages of a bucket are set aside, and the other way round.

    Bucket ids are UUIDs of version 7; the id of such a bucket is of version 8, and no worker ever owns it.
    """
    return UUID(int=bucket_id.int ^ (0xF << 76))


async def hold_unread(
    master: MasterRepository, agent: AgentRepository, bucket: Bucket, waited: float, keep: int, limit: int
) -> int:
    """Hold due jobs on the master again that the owner of a bucket has not read; return their number.

    The arguments are those of `BucketStore.hold_unread`. Messages that their pushers may be about to push again stay:
    they would come back.
    """
    if agent.capabilities.inline:
        return await master.buckets.hold_unread(bucket, waited, keep, limit)
    aside, carried = aside_of(bucket.id), await master.handovers.jobs_of(bucket.id)
    if not await agent.asides.set_aside(bucket, aside, waited, keep, limit, carried):
        return 0
    return await return_set_aside(master, agent, evolve(bucket, id=aside))


async def return_set_aside(master: MasterRepository, agent: AgentRepository, aside: Bucket) -> int:
    """Bring messages that were set aside back to the master, where their jobs are held; return how many messages.

    No worker reads there, so none of them was started, and none will be. The master first holds the jobs again that it
    knew as being in the original bucket; then the messages are removed. Safe to run concurrently, and to interrupt
    anywhere.
    """
    count, origin = 0, aside_of(aside.id)
    while messages := await agent.messages.read_all(aside.id, MESSAGES_AT_ONCE):
        unsaved = [held(message) for message in messages if not message.saved]
        if unsaved:
            await master.jobs.insert(unsaved)
        await master.buckets.hold_messages(origin, messages)
        await agent.asides.remove(aside.id, messages)
        count += len(messages)
    return count


async def return_bucket(master: MasterRepository, agent: AgentRepository, bucket: Bucket) -> int | None:
    """Bring back everything in an owned bucket and mark it as ready to delete; return how many jobs it held.

    None if late messages kept coming: then it is not empty, and stays as it is. Raises `LeaseLostError` if the bucket
    has another owner, before anything is removed from it: the new owner needs the messages to tell which jobs may have
    been running.
    """
    count = 0
    for _ in range(DRAINS):
        # Raises unless the bucket is ours; so was everything that was reported about it.
        await master.outcomes.mark(bucket, ())
        drained = await return_messages(master.jobs, agent.messages, bucket)
        # Rows that are the bucket, or rows of messages that the master knew of: these are counted already.
        count += max(drained, await master.buckets.release(bucket))
        if await agent.buckets.drop(bucket.id):
            await master.buckets.set_status(bucket, BucketStatus.READY_TO_DELETE)
            return count
    return None


async def answers(agent: AgentRepository) -> bool:
    """Return whether an agent can be reached, to distinguish its failure from the master's."""
    try:
        await agent.now()
    except StoreUnavailableError:
        return False
    return True
