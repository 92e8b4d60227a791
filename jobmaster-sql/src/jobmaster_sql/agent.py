"""The shared agent repository: messages in tables of their own, independent of the master."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

from attrs import evolve

from jobmaster.clock import to_micros
from jobmaster.contracts import AgentRepository, Backlog, Message, SavePending
from jobmaster.models import Bucket, BucketPage, Cursor, JobReceipt, NewJob, Position
from jobmaster.weighing import new_weight, patience_for
from jobmaster_sql.cells import moment_of
from jobmaster_sql.claims import MIN_PLACE
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.messages import (
    AGENT_MACROS,
    MESSAGE_VALUES,
    by_attempt,
    by_placing,
    message_of,
    message_values,
)
from jobmaster_sql.migrations import load_migrations
from jobmaster_sql.queries import Queries, check_prefix
from jobmaster_sql.reading import BucketReader
from jobmaster_sql.rows import micros
from jobmaster_sql.store import AGENTS, REQUIRED, check_epoch
from jobmaster_sql.units import Answer, Batch, Query, Unit
from jobmaster_sql.withdrawing import Withdrawal

_SOURCES: Final = ("queries/schema.sql", "agent_queries")


def push_patience(messages: Sequence[Message]) -> float | None:
    """Return how many seconds storing the messages may take; None if the default time limit of a unit of work applies."""
    return patience_for(sum(new_weight(message.new) for message in messages))


def agent_prefix(table_prefix: str) -> str:
    """Return the prefix of an agent's table names, which lets a master's tables lie beside them."""
    return f"{table_prefix}{AGENTS}"


def load_agent_queries(package: str, dialect: Dialect, table_prefix: str) -> Queries:
    """Return the base statements of agents, overridden by those of a provider's package.

    Raises `ConfigurationError` for a bad prefix, and `LookupError` if a statement is missing.
    """
    prefix = agent_prefix(check_prefix(table_prefix))
    pages = dialect.page_macros(AGENT_MACROS["claim_columns"])
    queries = Queries(
        ["jobmaster_sql", package], {**dialect.macros(prefix), **AGENT_MACROS, **pages}, _SOURCES
    )
    queries.require(REQUIRED)
    return queries


class SqlAgent(BucketReader, AgentRepository):
    """An agent on a SQL database.

    A provider adds its driver, its `agent_migrations`, notifications (`announce` and `listen`) and its capabilities.
    """

    def __init__(self, name: str, driver: SqlDriver, package: str, table_prefix: str) -> None:
        """`driver` is not opened here; `package` is the provider's, which holds its migrations."""
        super().__init__(driver, load_migrations(package, "agent_migrations"), agent_prefix(table_prefix))
        self.name = name

    async def fingerprint(self) -> str:
        """Return the fingerprint that the migration generated for this store."""
        return await self._driver.run(self._fingerprint, read_only=True)

    def _fingerprint(self) -> Unit[str]:
        answer: Answer = yield Query("fingerprint", last=True)
        return str(answer.rows[0][0])

    # Arriving messages

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Store messages in their buckets; return their receipts in order."""
        for message in messages:
            _check_names_bucket(message.new)
        if messages:
            await self._push(messages)
        return [JobReceipt(job_id=message.new.job.id, accepted_by=self.name) for message in messages]

    async def _push(self, messages: Sequence[Message]) -> None:
        """Store messages, without retrying if they may already be stored: some may have run and been removed by then."""
        await self._driver.run(lambda: self._add(messages), time_limit=push_patience(messages), again=False)

    def _add(self, messages: Sequence[Message]) -> Unit[None]:
        """Add the messages that are not stored yet."""
        began = self._began()
        rows = [(*message_values(message, self._dialect), *began.values()) for message in messages]
        yield Batch("message_add", (*MESSAGE_VALUES, *began), rows, last=True)

    async def create_buckets(self, buckets: Sequence[Bucket]) -> None:
        """Record the buckets and the epochs of their owners."""
        if buckets:
            await self._driver.run(lambda: self._create(buckets))

    def _create(self, buckets: Sequence[Bucket]) -> Unit[None]:
        rows = [(self._dialect.uuid(bucket.id), bucket.epoch) for bucket in buckets]
        yield Batch("bucket_add", ("id", "epoch"), rows, last=True)

    # Owners read

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read due messages beyond the cursor, and record what may be in flight."""
        return await self._read_bucket(bucket, cursor, limit, known)

    async def due_buckets(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Return the ids of the buckets that hold a message that is due."""
        bucket_ids = [bucket.id for bucket in buckets]
        return await self._driver.run(lambda: self._due_buckets(bucket_ids), read_only=True)

    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        """Return the ids of the buckets with due messages that their owners have not read."""
        return await self._unread_buckets([bucket.id for bucket in buckets], waited)

    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        """Move due messages that the owner of a bucket has not read into another bucket; return their number."""
        which = {"waited": micros(waited), "keep": keep, "limit": limit}
        where = {"aside": self._dialect.uuid(aside), "but": self._dialect.uuids(list(but))}
        taking = Query("bucket_set_aside", which | where)
        return await self._driver.run(lambda: self._set_aside(bucket, taking))

    def _set_aside(self, bucket: Bucket, taking: Query) -> Unit[int]:
        stale = {"aside": taking.params["aside"], "bucket_id": self._dialect.uuid(bucket.id)}
        yield Query("message_stale_aside", stale)
        return (yield from self._take_unread(bucket, taking))

    async def put_aside(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        """Move messages that the caller has in flight into another bucket."""
        if messages:
            await self._driver.run(lambda: self._put_aside(bucket, aside, messages))

    def _put_aside(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> Unit[None]:
        stored = self._dialect.uuid(aside)
        moves = by_attempt("message_put_aside", bucket.id, messages, self._dialect)
        yield Query("message_stale_aside", {"aside": stored, "bucket_id": self._dialect.uuid(bucket.id)})
        yield tuple(evolve(move, params={**move.params, "aside": stored}) for move in moves)

    async def remove_aside(self, aside: UUID, messages: Sequence[Message]) -> None:
        """Remove messages that were set aside, as they were when read."""
        if messages:
            await self._driver.run(lambda: self._remove_aside(aside, messages))

    def _remove_aside(self, aside: UUID, messages: Sequence[Message]) -> Unit[None]:
        yield by_placing("message_remove_aside", aside, messages, self._dialect)

    async def unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> SavePending:
        """Read messages of jobs that the master may not know, in push order."""
        return await self._driver.run(lambda: self._unsaved(bucket, age, after, limit), read_only=True)

    def _unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> Unit[SavePending]:
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

    # The next owner and anyone else

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Shut a former owner out, and read what it may have had in flight."""
        return await self._driver.run(lambda: self._take(bucket, limit))

    def _take(self, bucket: Bucket, limit: int) -> Unit[BucketPage]:
        params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch}
        answers: list[Answer] = yield Query("bucket_take", params), Query("bucket_lost_at", params)
        check_epoch(bucket, answers[1].rows)
        return (yield from self._exposed(bucket, limit, answers[1].rows[0]))

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

    # Departing messages

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

    async def holdings(self) -> Mapping[UUID, int]:
        """Return the number of messages by bucket id."""
        return await self._driver.run(self._holdings, read_only=True)

    def _holdings(self) -> Unit[dict[UUID, int]]:
        answer: Answer = yield Query("bucket_holdings", last=True)
        return {self._dialect.to_uuid(bucket_id): count for bucket_id, count in answer.rows}

    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        """Return the backlog of each bucket of a cluster that holds messages."""
        return await self._driver.run(lambda: self._backlog(cluster_id), read_only=True)

    def _backlog(self, cluster_id: str) -> Unit[dict[UUID, Backlog]]:
        answer: Answer = yield Query("bucket_backlog", {"cluster_id": cluster_id}, last=True)
        return {
            self._dialect.to_uuid(bucket_id): Backlog(
                messages=count,
                save_pending=pending,
                oldest_save_pending=None if oldest is None else max(0, oldest) / 1_000_000,
            )
            for bucket_id, count, pending, oldest in answer.rows
        }

    async def drop_bucket(self, bucket_id: UUID) -> bool:
        """Delete a bucket if it is empty; return whether it is gone."""
        return await self._driver.run(lambda: self._drop(bucket_id))

    def _drop(self, bucket_id: UUID) -> Unit[bool]:
        params = {"id": self._dialect.uuid(bucket_id)}
        answers: list[Answer] = yield Query("bucket_drop", params), Query("bucket_left", params, last=True)
        return not answers[1].rows


def _check_names_bucket(new: NewJob) -> None:
    if new.bucket_id is None:
        msg = f"the message of job {new.job.id} names no bucket; jobs without one are held on the master"
        raise ValueError(msg)
