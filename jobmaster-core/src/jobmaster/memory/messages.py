"""The messages of an agent in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import Message, MessageStore, SavePending
from jobmaster.memory.agent_mail import AgentMail
from jobmaster.memory.mailbox import Letter
from jobmaster.models import Bucket, JobReceipt, Position


@define(eq=False, repr=False, slots=False)
class MemoryMessages(MessageStore):
    """The messages of an agent in memory."""

    mail: AgentMail

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit():
            for message in messages:
                self._put(message)
            return [JobReceipt(job_id=m.new.job.id, accepted_by=self.mail.name) for m in messages]

    def _put(self, message: Message) -> None:
        new, now = message.new, self.mail.now()
        if new.bucket_id is None:
            msg = (
                f"the message of job {new.job.id} has no bucket; jobs without a bucket are held on the master"
            )
            raise ValueError(msg)
        key = new.bucket_id, new.job.id, message.attempt
        letter = Letter(message, ready_at=now + timedelta(seconds=new.delay), pushed_at=now)
        if key not in self.mail.box.letters:
            self.mail.box.letters[key] = letter

    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            for job_id, attempt in messages:
                box.letters.pop((bucket.id, job_id, attempt), None)

    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            now, wanted = self.mail.now(), frozenset(job_ids)
            return [letter.as_of(now) for key, letter in box.letters.items() if key[1] in wanted]

    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit():
            return frozenset(m[0] for m in messages if self._withdraw((bucket_id, *m)))

    def _withdraw(self, key: tuple[UUID, UUID, int]) -> bool:
        letter = self.mail.box.letters.get(key)
        if letter is None or letter.handed_out or letter.ready_at <= self.mail.now():
            return False
        del self.mail.box.letters[key]
        return True

    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            now = self.mail.now()
            return [letter.as_of(now) for letter in box.in_bucket(bucket_id)[:limit]]

    async def read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> SavePending:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            found = sorted(
                (letter for letter in box.in_bucket(bucket.id) if self._is_unsaved(letter, age)),
                key=lambda letter: _order(letter.pushed),
            )
            page = [a for a in found if after is None or _order(a.pushed) > _order(after)][:limit]
            now = self.mail.now()
            last = page[-1].pushed if page else after
            return SavePending(messages=[letter.as_of(now) for letter in page], after=last)

    def _is_unsaved(self, letter: Letter, age: float) -> bool:
        return not letter.message.saved and letter.pushed_at <= self.mail.later(-age)

    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            for job_id, attempt in messages:
                letter = box.letters.get((bucket.id, job_id, attempt))
                if letter is not None:
                    letter.message = evolve(letter.message, saved=True)


def _order(position: Position) -> tuple[object, UUID]:
    return position.ready_at, position.job_id
