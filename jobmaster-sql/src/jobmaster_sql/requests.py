"""User requests for existing jobs: cancel, reschedule, retry; on any SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from attrs import frozen

from jobmaster.contracts import OUT_OF_REACH, CancelAnswer, RequestStore
from jobmaster.errors import InvalidTransitionError, JobNotFoundError
from jobmaster.models import CancelResult
from jobmaster.states import JobStatus
from jobmaster_sql.ending import Unstarted, end_unstarted
from jobmaster_sql.rows import micros
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Query, Unit


@frozen
class _Cancelling:
    """A live row with a cancel request, with ids as the database stores them; it `waits` if it is not in flight."""

    stored_id: Any
    bucket_id: Any
    attempt: int
    waits: bool


class SqlRequestStore(SqlStore, RequestStore):
    """Implements `RequestStore`; the contract's docstrings say what each method does."""

    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        """Cancel jobs; return the result for each, in order."""
        if not job_ids:
            return []
        return await self._driver.run(lambda: self._cancel(cluster_id, job_ids, worker))

    def _cancel(self, cluster_id: str, job_ids: Sequence[UUID], worker: str) -> Unit[list[CancelAnswer]]:
        live, now = yield from self._live_for_cancel(cluster_id, job_ids)
        at_once = [row for row in live.values() if row.waits]
        if at_once:
            unstarted = [Unstarted(row.stored_id, cluster_id, row.bucket_id, row.attempt) for row in at_once]
            yield end_unstarted(unstarted, now, worker)
        asked = [row.stored_id for row in live.values() if not row.waits]
        if asked:
            yield Query("live_request_cancel", {"ids": self._dialect.array(asked)}, last=True)
        return [self._cancel_answer(job_id, live.get(job_id)) for job_id in job_ids]

    def _live_for_cancel(
        self, cluster_id: str, job_ids: Sequence[UUID]
    ) -> Unit[tuple[dict[UUID, _Cancelling], int]]:
        """Lock and return the live rows among these jobs, and the time; raises `JobNotFoundError`."""
        params = {"cluster_id": cluster_id, "ids": self._dialect.uuids(job_ids)}
        answers: list[Answer] = yield Query("job_in_cluster", params), Query("live_for_cancel", params)
        known = {self._dialect.to_uuid(row[0]) for row in answers[0].rows}
        for job_id in job_ids:
            if job_id not in known:
                raise JobNotFoundError(job_id, cluster_id)
        rows = answers[1].rows
        live = {
            self._dialect.to_uuid(stored_id): _Cancelling(
                stored_id,
                bucket_id,
                attempt,
                waits=bucket_id is None or not (on_an_agent or _is_in_reach(ready_at, now)),
            )
            for stored_id, bucket_id, attempt, ready_at, on_an_agent, now in rows
        }
        return live, rows[0][-1] if rows else 0

    def _cancel_answer(self, job_id: UUID, row: _Cancelling | None) -> CancelAnswer:
        if row is None:
            return CancelAnswer(job_id=job_id, result=CancelResult.TOO_LATE)
        if row.waits:
            return CancelAnswer(job_id=job_id, result=CancelResult.CANCELLED)
        bucket_id = self._dialect.to_uuid(row.bucket_id)
        return CancelAnswer(job_id=job_id, result=CancelResult.REQUESTED, bucket_id=bucket_id)

    async def read_cancels(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        """Return (bucket id, job id, attempt) of the cancel requests in some buckets."""
        if not bucket_ids:
            return []
        return await self._driver.run(lambda: self._read_cancels(bucket_ids), read_only=True)

    def _read_cancels(self, bucket_ids: Sequence[UUID]) -> Unit[list[tuple[UUID, UUID, int]]]:
        answer: Answer = yield Query("cancel_requests", {"ids": self._dialect.uuids(bucket_ids)}, last=True)
        uuid = self._dialect.to_uuid
        return [(uuid(bucket_id), uuid(job_id), attempt) for bucket_id, job_id, attempt in answer.rows]

    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        """Give a waiting job a new due time, and hold it on the master."""
        await self._driver.run(lambda: self._reschedule(cluster_id, job_id, delay, withdrawn))

    def _reschedule(self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None) -> Unit[None]:
        final = yield from self._final_of(cluster_id, job_id)
        carried = (yield from self._withdrawn(withdrawn)) if withdrawn is not None else {}
        stored_id = {"job_id": self._dialect.uuid(job_id)}
        live: Answer = yield Query("live_one", stored_id)
        if not live.rows:
            raise _not_possible(job_id, JobStatus.from_code(final[1] or JobStatus.SUCCEEDED.code))
        status, bucket_id, ready_at, now, on_an_agent, cancel_requested = live.rows[0]
        in_reach = bucket_id is not None and _is_in_reach(ready_at, now)
        in_hand = carried.get(job_id) != bucket_id if on_an_agent else in_reach
        if in_hand or cancel_requested:
            raise _not_possible(job_id, JobStatus.from_code(status))
        yield (
            Query("live_reschedule", stored_id | {"delay": micros(delay)}),
            Query("job_reschedule", stored_id),
        )

    def _withdrawn(self, handover_id: UUID) -> Unit[dict[UUID, Any]]:
        """End a handover if it exists; return the stored id of its bucket by the ids of its jobs."""
        ids = {"ids": self._dialect.uuids([handover_id])}
        answers: list[Answer] = yield Query("handover_lock", ids), Query("handover_delete", ids)
        return {
            job_id: bucket_id
            for _, bucket_id, job_ids in answers[0].rows
            for job_id in self._dialect.to_uuids(job_ids)
        }

    async def retry(self, cluster_id: str, job_id: UUID) -> None:
        """Hold a finished job on the master, due now, with all its retries."""
        await self._driver.run(lambda: self._retry(cluster_id, job_id))

    def _retry(self, cluster_id: str, job_id: UUID) -> Unit[None]:
        number, final_status = yield from self._final_of(cluster_id, job_id)
        stored_id = {"job_id": self._dialect.uuid(job_id)}
        if final_status is not None:
            reopened: Answer = yield Query("attempt_reopen", stored_id | {"number": number})
            if reopened.touched:
                yield Query("live_retry", stored_id | {"attempt": number + 1}, last=True)
                return
        live: Answer = yield Query("live_one", stored_id)
        code = live.rows[0][0] if live.rows else JobStatus.HELD_ON_MASTER.code
        raise _not_possible(job_id, JobStatus.from_code(code))

    def _final_of(self, cluster_id: str, job_id: UUID) -> Unit[tuple[Any, Any]]:
        """Return the number and status of the attempt that ended a job, or two Nones; raises if the job is unknown."""
        params = {"cluster_id": cluster_id, "job_id": self._dialect.uuid(job_id)}
        answer: Answer = yield Query("job_final", params)
        if not answer.rows:
            raise JobNotFoundError(job_id, cluster_id)
        number, final_status = answer.rows[0]
        return number, final_status


def _is_in_reach(ready_at: int, now: int) -> bool:
    """Whether the owner of a bucket may read a job of this due time before our transaction is committed."""
    return ready_at <= now + micros(OUT_OF_REACH)


def _not_possible(job_id: UUID, status: JobStatus) -> InvalidTransitionError:
    return InvalidTransitionError(job_id, status, (), JobStatus.HELD_ON_MASTER)
