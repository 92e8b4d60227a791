"""How jobs become durable: on an agent, on the master, or on one because the other is away."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import anyio

from jobmaster._pipeline.buffer import Buffer
from jobmaster._policy.placement import BINDS_AHEAD
from jobmaster.contracts import Message, Topics
from jobmaster.errors import StoreUnavailableError, StoreUnreachableError
from jobmaster.models import STANDALONE, JobReceipt, NewJob
from jobmaster.states import ClusterMode

if TYPE_CHECKING:
    from jobmaster._runtime.directory import Directory
    from jobmaster._runtime.environment import Environment

log = logging.getLogger("jobmaster.scheduler")

TRIES = 3
"""How many times a flush is tried while the store cannot be reached."""
MASTER = "master"

Receipts = Sequence[JobReceipt]


class JobRouter:
    """Stores the jobs of scheduling calls; calls of one process that take the same route share a flush.

    In a standalone cluster there is one route: the master's rows. Otherwise the jobs of a call go to one agent, so that
    all or none are accepted, or to the master. The master gets jobs with a key, because only it knows which keys are
    taken; jobs that are not due yet, which get an owner when they are; jobs whose caller wants them there; and jobs for
    which no agent has a bucket.
    """

    def __init__(self, env: Environment, directory: Directory) -> None:
        self._env = env
        self._directory = directory
        self._ways: dict[str, Buffer] = {}

    def store(self, jobs: Sequence[NewJob], *, on_master: bool = False) -> Awaitable[Receipts]:
        """Store jobs, all or none; return (to be awaited) their receipts in order."""
        if not self._env.agents.distributed:
            return self._buffer(STANDALONE).submit(jobs)
        return self._store_somewhere(jobs, on_master=on_master)

    async def _store_somewhere(self, jobs: Sequence[NewJob], *, on_master: bool) -> Receipts:
        way = await self._way_of(jobs, on_master=on_master)
        if way == MASTER and not on_master:
            return await self._store_for_later(jobs)
        if way == MASTER or len(self._env.agents.links) == 1:
            return await self._buffer(way).submit(jobs)
        with self._directory.sending(way, jobs):
            return await self._buffer(way).submit(jobs)

    async def _store_for_later(self, jobs: Sequence[NewJob]) -> Receipts:
        """Store jobs on the master, which assigns them an owner when they are due; if it is away, an agent may do."""
        try:
            return await self._buffer(MASTER).submit(jobs)
        except StoreUnreachableError:
            self._directory.wait_for_nobody()
            agent = self._agent_for_soon(jobs)
            if agent is None:
                raise
        return await self._buffer(agent).submit(jobs)

    def _agent_for_soon(self, jobs: Sequence[NewJob]) -> str | None:
        """Return an agent whose buckets may take jobs before they are due: those within the transient threshold."""
        env, threshold = self._env, self._env.settings.transient_threshold
        if env.mode is not ClusterMode.ACTIVE or any(n.job.key or n.delay > threshold for n in jobs):
            return None
        return self._directory.agent_for(jobs, env.agents.weights())

    # Choosing the route

    async def _way_of(self, jobs: Sequence[NewJob], *, on_master: bool) -> str:
        env = self._env
        if on_master or env.mode is not ClusterMode.ACTIVE or any(self._is_for_master(new) for new in jobs):
            return MASTER
        try:
            await self._directory.ready()
        except StoreUnavailableError:
            return MASTER
        return self._directory.agent_for(jobs, env.agents.weights()) or MASTER

    def _is_for_master(self, new: NewJob) -> bool:
        return new.job.key is not None or new.delay > BINDS_AHEAD

    def _buffer(self, way: str) -> Buffer:
        buffer = self._ways.get(way)
        if buffer is None:
            buffer = self._ways[way] = Buffer(self._flush_for(way))
        return buffer

    def _flush_for(self, way: str) -> Callable[[Sequence[NewJob]], Awaitable[Receipts]]:
        to_rows = {STANDALONE: self._flush_standalone, MASTER: self._flush_to_master}
        return to_rows.get(way) or partial(self._flush_to_agent, way)

    # Standalone

    async def _flush_standalone(self, jobs: Sequence[NewJob]) -> Receipts:
        env, tries, placed = self._env, Tries(), jobs
        receipts: Receipts | None = None
        while receipts is None:
            try:
                if env.mode is ClusterMode.ACTIVE:
                    await self._directory.ready()
                    placed = self._directory.place(jobs, BINDS_AHEAD)
                receipts = await env.agents.inline.rows.insert(placed)
            except StoreUnavailableError as error:
                await tries.pause_after(error)
        for bucket_id in dict.fromkeys(new.bucket_id for new in placed):
            env.notify.tell(Topics.bucket(bucket_id) if bucket_id else Topics.held(env.cluster_id))
        return self._accepted(placed, receipts)

    # The master

    async def _flush_to_master(self, jobs: Sequence[NewJob]) -> Receipts:
        receipts = await self._insert(jobs)
        self._env.notify.tell(Topics.held(self._env.cluster_id))
        return self._accepted(jobs, receipts)

    async def _insert(self, jobs: Sequence[NewJob]) -> Receipts:
        tries = Tries()
        while True:
            try:
                return await self._env.master.jobs.insert(jobs)
            except StoreUnavailableError as error:
                await tries.pause_after(error)

    # An agent

    async def _flush_to_agent(self, agent: str, jobs: Sequence[NewJob]) -> Receipts:
        """Push jobs to an agent; if it is away, another agent or the master takes them."""
        placed = self._directory.place_on(agent, jobs)
        if placed is None:
            return await self._flush_to_master(jobs)
        try:
            receipts = await self._env.agents[agent].messages.push([Message(new=new) for new in placed])
        except StoreUnreachableError as error:
            self._leave_alone(agent, error)
            return await self._flush_elsewhere(jobs)
        except StoreUnavailableError as error:
            self._leave_alone(agent, error)
            return await self._entrust_or_say(placed)
        self._env.agents.answered(agent)
        for bucket_id in _bucket_ids(placed):
            self._env.tell_bucket(agent, bucket_id)
        return self._accepted(placed, receipts)

    async def _flush_elsewhere(self, jobs: Sequence[NewJob]) -> Receipts:
        """Push jobs to the next agent that can take all of them; if there is none, the master takes them."""
        other = self._directory.agent_for(jobs, self._env.agents.weights())
        return await (self._flush_to_master(jobs) if other is None else self._flush_to_agent(other, jobs))

    async def _entrust_or_say(self, placed: Sequence[NewJob]) -> Receipts:
        """Entrust jobs to the master; if it is away as well, it is unknown whether they were accepted."""
        try:
            return await self._entrust(placed)
        except StoreUnreachableError as error:
            msg = f"the agent did not answer, and the master cannot be reached; jobs may have been accepted: {error}"
            raise StoreUnavailableError(msg) from error

    def _leave_alone(self, agent: str, error: Exception) -> None:
        level = logging.DEBUG if self._env.agents.is_failing(agent) else logging.WARNING
        log.log(level, "agent %s is away; its share of new jobs goes elsewhere: %s", agent, error)
        self._env.agents.leave_alone(agent)

    async def _entrust(self, placed: Sequence[NewJob]) -> Receipts:
        """Have the master take care of jobs that may or may not have reached their buckets.

        If they were pushed again, they might run again: their owner may have finished them by now, and their messages
        may be gone. So the master records those that are new to it as lying in these buckets. The handover is recorded
        first; through it a coordinator pushes the jobs that still have to run once the agent is back.
        """
        env = self._env
        for bucket_id in _bucket_ids(placed):
            ids = [new.job.id for new in placed if new.bucket_id == bucket_id]
            await env.master.handovers.open(env.cluster_id, bucket_id, ids, env.process_id)
        receipts = await self._insert(placed)
        return self._accepted(placed, receipts)

    def _accepted(self, jobs: Sequence[NewJob], receipts: Receipts) -> Receipts:
        for observer in self._env.observers:
            for new, receipt in zip(jobs, receipts, strict=True):
                observer.on_scheduled(new, receipt)
        return receipts


def _bucket_ids(placed: Sequence[NewJob]) -> set[UUID]:
    return {new.bucket_id for new in placed if new.bucket_id is not None}


class Tries:
    """Counts the tries of an insert while the store is away: inserts are idempotent."""

    def __init__(self) -> None:
        self._made = 0
        self._heard: StoreUnavailableError | None = None

    async def pause_after(self, error: StoreUnavailableError) -> None:
        """Wait before the next try; raises after the last.

        Raises `StoreUnreachableError` only if no try can have reached the store.
        """
        self._made += 1
        if not isinstance(error, StoreUnreachableError):
            self._heard = error
        if self._made == TRIES:
            raise self._heard or error from None
        await anyio.sleep(0.1 * 2**self._made)
