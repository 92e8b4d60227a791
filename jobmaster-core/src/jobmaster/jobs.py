"""Looking at jobs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Unpack
from uuid import UUID

import anyio

from jobmaster._process.signals import Signal
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.job_commands import JobCommands
from jobmaster._runtime.runtime_scope import RuntimeScope
from jobmaster._runtime.unsaved import unsaved_by_lane
from jobmaster._time.durations import written
from jobmaster.errors import JobNotFoundError, StoreUnavailableError
from jobmaster.ids import as_id
from jobmaster.models import JobRecord, LogLine, evolve
from jobmaster.queries import JobConditions, build_query, line_limit, page_limit, page_start, searchable
from jobmaster.states import JobStatus

log = logging.getLogger("jobmaster.jobs")

WAIT_POLL = 0.25
"""Seconds between two checks of a job that another process may finish."""


class Jobs:
    """The audit trail of a running cluster: `runtime.jobs`."""

    def __init__(self, env: Environment, scope: RuntimeScope) -> None:
        self._environment, self._scope = env, scope

    @property
    def _env(self) -> Environment:
        """The environment of the verbs; raises `NotRunningError` where and when they cannot work."""
        self._scope.check()
        return self._environment

    async def get(self, job_id: UUID | str) -> JobRecord:
        """Return a job with its attempts and logs; raises `JobNotFoundError`."""
        found = await self.find(job_id)
        if found is None:
            raise JobNotFoundError(job_id, self._env.cluster_id)
        return found

    async def find(self, job_id: UUID | str) -> JobRecord | None:
        """Return a job with its attempts and logs, or None.

        Raises `StoreUnavailableError` if the master does not know the job and an agent that may have it cannot be reached.
        """
        env = self._env
        try:
            wanted = as_id(job_id, env.cluster_id)
        except JobNotFoundError:
            return None
        found = await env.master.jobs.get(env.cluster_id, wanted)
        if found is None and env.agents.distributed:
            found = await JobCommands(env).find(wanted)
        return found

    async def query(
        self, *, limit: int = 100, after: UUID | None = None, **conditions: Unpack[JobConditions]
    ) -> Sequence[JobRecord]:
        """Return a page of jobs without attempts, the newest first.

        Args:
            limit: jobs on the page, at most 1,000.
            after: the id of the last job of the previous page.
            conditions: `status` (one or several), `handler` (or definition, or its id), `lane`, `priority`,
                `scheduled_from`, `scheduled_to` (aware datetimes), `parked`, `schedule` (the id of a recurring
                schedule), and `metadata`: a mapping of names to wanted values, or a sequence of `MetadataFilter`.

        Raises:
            InvalidQueryError: a condition is unknown, or its value makes no sense.

        """
        query = evolve(build_query(**conditions), limit=page_limit(limit), after=page_start(after))
        return await self._env.master.jobs.query(self._env.cluster_id, query)

    async def all(self, **conditions: Unpack[JobConditions]) -> AsyncIterator[JobRecord]:
        """Iterate over all matching jobs, page by page; conditions as for `query`."""
        after: UUID | None = None
        while page := await self.query(limit=1000, after=after, **conditions):
            for job in page:
                yield job
            after = page[-1].id

    async def count(self, **conditions: Unpack[JobConditions]) -> int:
        """Return how many jobs match; conditions as for `query`."""
        return sum((await self.count_by_status(**conditions)).values())

    async def count_by_status(self, **conditions: Unpack[JobConditions]) -> Mapping[JobStatus, int]:
        """Return how many jobs match, by status; conditions as for `query`."""
        return await self._env.master.jobs.count(self._env.cluster_id, build_query(**conditions))

    async def waiting_by_lane(self) -> Mapping[str, int]:
        """Return how many jobs are due and wait for a slot, by lane: the depth of the queue, for scaling and alerts.

        Cheap regardless of the length of the history and the number of jobs that are due later: neither is read. Lanes
        without any are left out, and so are parked jobs. A job counts until the master knows that it runs, which may
        take a second (`beat`). With agents, jobs that the master does not know yet count too, except those on agents
        that cannot be reached.
        """
        env = self._env
        found = Counter(await env.master.jobs.waiting_by_lane(env.cluster_id))
        if env.agents.distributed:
            found.update(await unsaved_by_lane(env))
        return found

    async def logs(self, subject: str, subject_id: str, limit: int = 1000) -> Sequence[LogLine]:
        """Return the newest log lines about a subject (`job`, `worker`, …), oldest first.

        Raises `InvalidQueryError` for a value that makes no sense.
        """
        wanted = searchable("subject", subject), searchable("subject_id", subject_id)
        return await self._env.master.logs.read(self._env.cluster_id, *wanted, line_limit(limit))

    async def wait(
        self,
        job_id: UUID | str,
        timeout: float | None = None,  # noqa: ASYNC109 - a convenience, as in asyncio
    ) -> JobRecord:
        """Wait until a job has finished and return it.

        It keeps waiting while the master, or an agent that may have the job, cannot be reached. Raises `TimeoutError`
        after `timeout` seconds, which then says so, and `JobNotFoundError` for an unknown id.
        """
        wanted = as_id(job_id, self._env.cluster_id)
        silent: StoreUnavailableError | None = None
        with anyio.move_on_after(timeout), self._woken(wanted) as signal:
            while True:
                job, error = await self._look(wanted)
                if job is not None and job.status.is_terminal:
                    return job
                if error is not None and silent is None:
                    log.warning("still waiting for job %s, whose state cannot be read now: %s", wanted, error)
                silent = error
                await signal.wait(WAIT_POLL)
        raise _in_vain(wanted, timeout, silent) from silent

    async def _look(self, job_id: UUID) -> tuple[JobRecord | None, StoreUnavailableError | None]:
        """Return a job, or the reason why it cannot be read now."""
        try:
            return await self.get(job_id), None
        except StoreUnavailableError as error:
            return None, error

    @contextmanager
    def _woken(self, job_id: UUID) -> Any:
        signal = Signal()
        waiters = self._environment.waiters
        waiting = waiters.setdefault(job_id, [])
        waiting.append(signal.set)
        try:
            yield signal
        finally:
            waiting.remove(signal.set)
            if not waiting:
                waiters.pop(job_id, None)


def _in_vain(job_id: UUID, timeout: float | None, silent: StoreUnavailableError | None) -> TimeoutError:
    """Return the error for a wait that timed out; `silent` is why the job could not be read at the end."""
    if silent is None:
        msg = (
            f"job {job_id} has not finished within {written(timeout or 0)}; it continues, check it with get()"
        )
    else:
        msg = f"the state of job {job_id} could not be read within {written(timeout or 0)}: {silent}"
    return TimeoutError(msg)
