"""The messages of an agent on any SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from jobmaster.clock import to_micros
from jobmaster.contracts import Message, MessageStore, SavePending
from jobmaster.errors import StoreConflictError
from jobmaster.models import Bucket, JobReceipt, NewJob, Position
from jobmaster.weighing import new_weight, patience_for
from jobmaster_sql.bounds import MIN_PLACE
from jobmaster_sql.cells import moment_of
from jobmaster_sql.driver import SqlDriver
from jobmaster_sql.message_rows import MESSAGE_VALUES, by_attempt, message_of, message_values
from jobmaster_sql.rows import micros
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit
from jobmaster_sql.withdrawing import Withdrawal


def push_patience(messages: Sequence[Message]) -> float | None:
    """Return how many seconds storing the messages may take; None if the default time limit of a unit of work applies."""
    return patience_for(sum(new_weight(message.new) for message in messages))


class SqlMessageStore(SqlStore, MessageStore):
    """Implements `MessageStore`; the contract's docstrings say what each method does.

    Override points: `push_new`, `add_missing`, `began`.
    """

    def __init__(self, name: str, driver: SqlDriver) -> None:
        """`name` is the agent's name; `driver` is shared by all stores of a repository."""
        super().__init__(driver)
        self._name = name

    # Arriving messages

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Store messages in their buckets; return their receipts in order."""
        for message in messages:
            _check_names_bucket(message.new)
        if messages:
            await self._push(messages)
        return [JobReceipt(job_id=message.new.job.id, accepted_by=self._name) for message in messages]

    async def _push(self, messages: Sequence[Message]) -> None:
        """Store messages, without retrying if they may already be stored: some may have run and been removed by then."""
        limit = push_patience(messages)
        try:
            await self._driver.run(lambda: self.push_new(messages), time_limit=limit, again=False)
        except StoreConflictError:
            await self._driver.run(lambda: self.add_missing(messages), time_limit=limit, again=False)

    def push_new(self, messages: Sequence[Message]) -> Unit[None]:
        """Add messages that are probably new; may raise `StoreConflictError`, without effect, if some are not."""
        return self.add_missing(messages)

    def add_missing(self, messages: Sequence[Message]) -> Unit[None]:
        """Add the messages that are not stored yet."""
        began = self.began()
        rows = [(*message_values(message, self._dialect), *began.values()) for message in messages]
        yield Batch("message_add", (*MESSAGE_VALUES, *began), rows, last=True)

    def began(self) -> Mapping[str, Any]:
        """Return the parameters that tell statements when the unit began, where they cannot find out themselves."""
        return {}

    async def read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> SavePending:
        """Read messages of jobs that the master may not know, in push order."""
        return await self._driver.run(lambda: self._read_unsaved(bucket, age, after, limit), read_only=True)

    def _read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> Unit[SavePending]:
        pushed_at, job_id = (to_micros(after.ready_at), after.job_id) if after else MIN_PLACE
        params = {"bucket_id": self._dialect.uuid(bucket.id), "age": micros(age), "limit": limit}
        place = {"pushed_at": pushed_at, "job_id": self._dialect.uuid(job_id)}
        answer: Answer = yield Query("message_unsaved", params | place, last=True)
        messages = [message_of(row[1:], self._dialect) for row in answer.rows]
        if messages:
            after = Position(moment_of(answer.rows[-1][0]), messages[-1].new.job.id)
        return SavePending(messages=messages, after=after)

    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Record that the master knows the jobs of messages, given as (job id, attempt)."""
        if messages:
            await self._driver.run(lambda: self._change("message_saved", bucket, messages))

    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        """Read messages of a bucket, due or not, earliest first."""
        params = {"bucket_id": self._dialect.uuid(bucket_id), "limit": limit}
        return await self._driver.run(
            lambda: self._messages(Query("message_drain", params, last=True)), read_only=True
        )

    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        """Return the messages of the given jobs, in whichever buckets they are."""
        if not job_ids:
            return []
        params = {"job_ids": self._dialect.uuids(job_ids)}
        return await self._driver.run(
            lambda: self._messages(Query("message_find", params, last=True)), read_only=True
        )

    def _messages(self, query: Query) -> Unit[list[Message]]:
        answer: Answer = yield query
        return [message_of(row, self._dialect) for row in answer.rows]

    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Remove messages, given as (job id, attempt), whose state is stored on the master."""
        if messages:
            await self._driver.run(lambda: self._change("message_remove", bucket, messages))

    def _change(self, name: str, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> Unit[None]:
        yield by_attempt(name, bucket.id, messages, self._dialect)

    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        """Remove messages that no owner has read or will read; return the ids of their jobs."""
        if not messages:
            return frozenset()
        return await Withdrawal(self._driver, bucket_id, messages).run()


def _check_names_bucket(new: NewJob) -> None:
    if new.bucket_id is None:
        msg = f"the message of job {new.job.id} has no bucket; jobs without a bucket are held on the master"
        raise ValueError(msg)
