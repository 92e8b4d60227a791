"""An agent in memory: the reference implementation of the agent's contract."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import anyio.lowlevel
from attrs import evolve

from jobmaster.clock import Clock
from jobmaster.contracts import AgentRepository, Backlog, Message, SavePending
from jobmaster.errors import LeaseLostError
from jobmaster.memory.base import InMemory
from jobmaster.memory.mailbox import Letter, Mailbox, mailboxes
from jobmaster.memory.paging import due_page
from jobmaster.models import Bucket, BucketPage, Cursor, JobReceipt, Position


class MemoryAgent(InMemory, AgentRepository):
    """Messages as Python objects. Every method does its work without yielding, under one lock."""

    def __init__(self, name: str, store: str = "", clock: Clock | None = None) -> None:
        self.name = name
        self._mailbox = mailboxes.setdefault(store, Mailbox()) if store else Mailbox()
        super().__init__(self._mailbox.notifications, clock)

    @contextmanager
    def _unit(self) -> Iterator[Mailbox]:
        with self._mailbox.lock:
            yield self._mailbox

    async def fingerprint(self) -> str:
        await anyio.lowlevel.checkpoint()
        return self._mailbox.fingerprint

    # Pushing

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            for message in messages:
                self._put(message)
            return [JobReceipt(job_id=m.new.job.id, accepted_by=self.name) for m in messages]

    def _put(self, message: Message) -> None:
        new, now = message.new, self._clock.now()
        if new.bucket_id is None:
            msg = f"the message of job {new.job.id} names no bucket; jobs without one are held on the master"
            raise ValueError(msg)
        key = new.bucket_id, new.job.id, message.attempt
        letter = Letter(message, ready_at=now + timedelta(seconds=new.delay), pushed_at=now)
        if key not in self._mailbox.letters:
            self._mailbox.letters[key] = letter

    async def create_buckets(self, buckets: Sequence[Bucket]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            for bucket in buckets:
                box.epochs.setdefault(bucket.id, bucket.epoch)

    # The owner

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            if box.epochs.get(bucket.id) != bucket.epoch:
                raise _lost(bucket)
            page = due_page(box.in_bucket(bucket.id), cursor, limit, self._clock.now())
            for letter in page.rows:
                letter.handed_out = True
            return BucketPage(
                claims=[
                    letter.claim(bucket) for letter in page.rows if letter.message.new.job.id not in known
                ],
                cursor=page.cursor,
                more=page.more,
                next_due_in=page.next_due_in,
            )

    async def due_buckets(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            now = self._clock.now()
            return frozenset(
                bucket.id
                for bucket in buckets
                if any(x.ready_at <= now for x in box.letters.among(bucket.id))
            )

    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            for job_id, attempt in messages:
                box.letters.pop((bucket.id, job_id, attempt), None)

    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return frozenset(bucket.id for bucket in buckets if self._unread(bucket.id, waited))

    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            going = [x for x in self._unread(bucket.id, waited)[keep:] if x.job.id not in but][:limit]
            for letter in going:
                self._move(box, bucket.id, letter, aside)
            return len(going)

    async def put_aside(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            for job_id, attempt in messages:
                letter = box.letters.get((bucket.id, job_id, attempt))
                if letter is not None:
                    self._move(box, bucket.id, letter, aside)

    def _move(self, box: Mailbox, bucket_id: UUID, letter: Letter, aside: UUID) -> None:
        key, message = (letter.job.id, letter.message.attempt), letter.message
        del box.letters[(bucket_id, *key)]
        letter.message = evolve(message, new=evolve(message.new, bucket_id=aside))
        box.letters[(aside, *key)] = letter

    async def remove_aside(self, aside: UUID, messages: Sequence[Message]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            for message in messages:
                key = (aside, message.new.job.id, message.attempt)
                letter = box.letters.get(key)
                if letter is not None and letter.message.placed == message.placed:
                    del box.letters[key]

    def _unread(self, bucket_id: UUID, waited: float) -> list[Letter]:
        """Return due messages in a bucket that were never handed out to its owner."""
        due = self._later(-waited)
        return [
            letter
            for letter in self._mailbox.in_bucket(bucket_id)
            if letter.ready_at <= due and not letter.handed_out
        ]

    async def unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> SavePending:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            found = sorted(
                (letter for letter in box.in_bucket(bucket.id) if self._is_unsaved(letter, age)),
                key=lambda letter: _order(letter.pushed),
            )
            page = [a for a in found if after is None or _order(a.pushed) > _order(after)][:limit]
            now = self._clock.now()
            last = page[-1].pushed if page else after
            return SavePending(messages=[letter.as_of(now) for letter in page], after=last)

    def _is_unsaved(self, letter: Letter, age: float) -> bool:
        return not letter.message.saved and letter.pushed_at <= self._later(-age)

    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            for job_id, attempt in messages:
                letter = box.letters.get((bucket.id, job_id, attempt))
                if letter is not None:
                    letter.message = evolve(letter.message, saved=True)

    # After the owner

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            if box.epochs.get(bucket.id, bucket.epoch) > bucket.epoch:
                raise _lost(bucket)
            box.epochs[bucket.id] = bucket.epoch
            found = [letter for letter in box.in_bucket(bucket.id) if letter.handed_out]
            claims = [letter.claim(bucket) for letter in found[:limit]]
            return BucketPage(claims=claims, cursor=Cursor(), more=len(found) > limit)

    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            now = self._clock.now()
            return [letter.as_of(now) for letter in box.in_bucket(bucket_id)[:limit]]

    async def drop_bucket(self, bucket_id: UUID) -> bool:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            if box.in_bucket(bucket_id):
                return False
            box.epochs.pop(bucket_id, None)
            return True

    # Single messages

    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            now, wanted = self._clock.now(), frozenset(job_ids)
            return [letter.as_of(now) for key, letter in box.letters.items() if key[1] in wanted]

    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return frozenset(m[0] for m in messages if self._withdraw((bucket_id, *m)))

    def _withdraw(self, key: tuple[UUID, UUID, int]) -> bool:
        letter = self._mailbox.letters.get(key)
        if letter is None or letter.handed_out or letter.ready_at <= self._clock.now():
            return False
        del self._mailbox.letters[key]
        return True

    # Reading

    async def holdings(self) -> Mapping[UUID, int]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            return {bucket_id: len(letters) for bucket_id, letters in box.letters.groups.items()}

    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as box:
            found = {bucket_id: self._backlog(bucket_id, cluster_id) for bucket_id in box.letters.groups}
            return {bucket_id: backlog for bucket_id, backlog in found.items() if backlog.messages}

    def _backlog(self, bucket_id: UUID, cluster_id: str) -> Backlog:
        lying = self._mailbox.in_bucket(bucket_id)
        letters = [letter for letter in lying if letter.message.new.job.cluster_id == cluster_id]
        pending = [letter.pushed_at for letter in letters if not letter.message.saved]
        oldest = max(0.0, (self._clock.now() - min(pending)).total_seconds()) if pending else None
        return Backlog(messages=len(letters), save_pending=len(pending), oldest_save_pending=oldest)


def _lost(bucket: Bucket) -> LeaseLostError:
    return LeaseLostError(f"bucket {bucket.id} is no longer owned at epoch {bucket.epoch}")


def _order(position: Position) -> tuple[object, UUID]:
    return position.ready_at, position.job_id
