"""Cancel and reschedule jobs, wherever they are: on the master, or only on an agent so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from jobmaster.contracts import CancelAnswer, Message, Topics
from jobmaster.errors import (
    InvalidTransitionError,
    JobMasterError,
    JobNotFoundError,
    StoreUnavailableError,
)
from jobmaster.models import Bucket, CancelResult, JobRecord
from jobmaster.states import IN_BUCKET, JobStatus

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment


class JobCommands:
    """Changes jobs of one cluster. A job that the master does not know yet is saved there first."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    # Cancelling

    async def cancel(self, job_ids: Sequence[UUID]) -> Sequence[CancelResult]:
        """Cancel jobs; return the result for each, in order. Raises `JobNotFoundError` for an unknown id.

        Raises `StoreUnavailableError` if an agent that may know the job cannot be asked.
        """
        env = self._env
        try:
            answers = await env.master.requests.cancel(env.cluster_id, job_ids)
        except JobNotFoundError:
            if not env.agents.distributed:
                raise
            answers = await self._cancel_saved(job_ids)
        env.notify.tell(*dict.fromkeys(Topics.control(a.bucket_id) for a in answers if a.bucket_id))
        return [answer.result for answer in answers]

    async def _cancel_saved(self, job_ids: Sequence[UUID]) -> Sequence[CancelAnswer]:
        silent = await self._save(job_ids)
        try:
            return await self._env.master.requests.cancel(self._env.cluster_id, job_ids)
        except JobNotFoundError as error:
            raise not_known(error, silent) from None

    # Rescheduling

    async def reschedule(self, job_id: UUID, delay: float) -> None:
        """Give a waiting job a new due time, `delay` seconds from now, and hold it on the master.

        Raises `InvalidTransitionError` if it may be in flight or has finished, `JobNotFoundError` if unknown.
        """
        env = self._env
        bucket = await self._bucket_of(job_id) if env.agents.distributed else None
        if bucket is None:
            await env.master.requests.reschedule(env.cluster_id, job_id, delay)
        else:
            await self._reschedule_in(bucket, job_id, delay)
        env.notify.tell(Topics.held(env.cluster_id))

    async def _reschedule_in(self, bucket: Bucket, job_id: UUID, delay: float) -> None:
        """Withdraw a job's message from its agent, then hold the job.

        The handover is recorded in between: if the message is gone and the job was not held in the end, a coordinator
        pushes it again. The steps before only read, so a failure there needs no repair. While another handover has
        the job, a push of its message may be under way, and the job counts as in flight.
        """
        env = self._env
        agent = env.agents[bucket.agent]
        found = await agent.messages.find([job_id])
        handover = await env.master.handovers.open(
            env.cluster_id, bucket.id, [job_id], env.process_id, alone=True
        )
        messages = [(m.new.job.id, m.attempt) for m in found if m.new.bucket_id == bucket.id]
        if job_id not in await agent.messages.withdraw(bucket.id, messages):
            await env.master.handovers.close([handover])
            raise InvalidTransitionError(job_id, JobStatus.ASSIGNED_TO_BUCKET, (), JobStatus.HELD_ON_MASTER)
        await env.master.requests.reschedule(env.cluster_id, job_id, delay, handover)

    async def _bucket_of(self, job_id: UUID) -> Bucket | None:
        """Return the bucket on an agent that holds a job; saves the job if only the agent knows it."""
        env = self._env
        record = await env.master.jobs.get(env.cluster_id, job_id)
        if record is None:
            silent = await self._save([job_id])
            record = await env.master.jobs.get(env.cluster_id, job_id)
            if record is None:
                raise not_known(JobNotFoundError(job_id, env.cluster_id), silent)
        if record.status not in IN_BUCKET:
            return None
        buckets = await env.master.buckets.list_all(env.cluster_id)
        return next((b for b in buckets if b.id == record.bucket_id and b.is_on_agent), None)

    # Retrying

    async def retry(self, job_id: UUID) -> None:
        """Hold a finished job again; raises `InvalidTransitionError` if it has not finished, wherever it is."""
        env = self._env
        try:
            await env.master.requests.retry(env.cluster_id, job_id)
        except JobNotFoundError:
            if not env.agents.distributed or await self.find(job_id) is None:
                raise
            raise InvalidTransitionError(
                job_id, JobStatus.SAVE_PENDING, (), JobStatus.HELD_ON_MASTER
            ) from None
        env.notify.tell(Topics.held(env.cluster_id))

    # Looking on the agents

    async def find(self, job_id: UUID) -> JobRecord | None:
        """Return a job that the master did not know a moment ago, for example because only an agent knows it.

        Raises `StoreUnavailableError` if the job is found nowhere and an agent cannot be asked.
        """
        env = self._env
        messages, silent = await self._on_agents([job_id])
        # It may be on its way from an agent to the master.
        record = await env.master.jobs.get(env.cluster_id, job_id)
        if record is None and not messages and silent:
            raise not_known(JobNotFoundError(job_id, env.cluster_id), silent)
        return record or (save_pending(messages[0]) if messages else None)

    async def _save(self, job_ids: Sequence[UUID]) -> Sequence[str]:
        """Save jobs that only agents know, in their buckets; return the agents that could not be asked."""
        messages, silent = await self._on_agents(job_ids)
        if messages:
            await self._env.master.jobs.insert([message.new for message in messages])
        return silent

    async def _on_agents(self, job_ids: Sequence[UUID]) -> tuple[Sequence[Message], Sequence[str]]:
        """Return the messages of those jobs that only agents know, and the agents that could not be asked."""
        agents = self._env.agents
        found: list[Message] = []
        silent: list[str] = []
        for name in agents.usable():
            try:
                found += [m for m in await agents[name].messages.find(job_ids) if self._is_new(m)]
            except StoreUnavailableError:
                silent.append(name)
        return found, silent

    def _is_new(self, message: Message) -> bool:
        return not message.saved and message.new.job.cluster_id == self._env.cluster_id


def not_known(error: JobNotFoundError, silent: Sequence[str]) -> JobMasterError:
    """Return the error for a job that was found nowhere: while an agent is silent, the job may be there."""
    if not silent:
        return error
    return StoreUnavailableError(
        f"job {error.job_id} is not on the master, and agent {', '.join(silent)} cannot be asked now; "
        "try again once it can be reached"
    )


def save_pending(message: Message) -> JobRecord:
    """Return the record of a job that only an agent knows so far."""
    job = message.new.job
    return JobRecord(
        job=job,
        status=JobStatus.SAVE_PENDING,
        ready_at=job.scheduled_at,
        finished_at=None,
        attempt=message.attempt,
        retries=0,
        bucket_id=message.new.bucket_id,
    )
