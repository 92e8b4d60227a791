"""Messages in memory that leave their bucket for the master again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import AsideStore, Message
from jobmaster.memory.agent_mail import AgentMail
from jobmaster.memory.mailbox import Letter, Mailbox
from jobmaster.models import Bucket


@define(eq=False, repr=False, slots=False)
class MemoryAsides(AsideStore):
    """Messages in memory that leave their bucket for the master again."""

    mail: AgentMail

    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            going = [x for x in self.mail.unread(bucket.id, waited)[keep:] if x.job.id not in but][:limit]
            for letter in going:
                self._move(box, bucket.id, letter, aside)
            return len(going)

    async def put(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            for job_id, attempt in messages:
                letter = box.letters.get((bucket.id, job_id, attempt))
                if letter is not None:
                    self._move(box, bucket.id, letter, aside)

    async def remove(self, aside: UUID, messages: Sequence[Message]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            for message in messages:
                key = (aside, message.new.job.id, message.attempt)
                letter = box.letters.get(key)
                if letter is not None and letter.message.placed == message.placed:
                    del box.letters[key]

    def _move(self, box: Mailbox, bucket_id: UUID, letter: Letter, aside: UUID) -> None:
        key, message = (letter.job.id, letter.message.attempt), letter.message
        del box.letters[(bucket_id, *key)]
        letter.message = evolve(message, new=evolve(message.new, bucket_id=aside))
        box.letters[(aside, *key)] = letter
