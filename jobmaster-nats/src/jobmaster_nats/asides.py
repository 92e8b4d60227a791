"""Messages on NATS that leave their bucket for the master again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from jobmaster.contracts import AsideStore, Message
from jobmaster.models import Bucket
from jobmaster_nats.desks import Desks
from jobmaster_nats.driver import NatsDriver
from jobmaster_nats.moving import Choice, copy_to, take_out
from jobmaster_nats.parts import loaded
from jobmaster_nats.removing import find_letters, remove_letters
from jobmaster_nats.stream import Stream


class NatsAsides(AsideStore):
    """Messages on NATS that leave their bucket for the master again.

    A message cannot be moved: it is copied, and then removed. Who dies between the two leaves both.
    """

    def __init__(self, driver: NatsDriver, desks: Desks) -> None:
        """`desks` are shared with the other stores of the agent."""
        self._driver, self._desks = driver, desks

    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        async def work(stream: Stream) -> int:
            await stream.observe_clock()
            choice = Choice(round(waited * 1_000_000), keep, limit, frozenset(but))
            return await take_out(stream, bucket.id, aside, choice)

        return await self._driver.run(work)

    async def put(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        async def work(stream: Stream) -> None:
            lying = await find_letters(stream, bucket.id, list(dict.fromkeys(messages)))
            letters = [whole for letter in lying if (whole := await loaded(stream, letter)) is not None]
            await copy_to(stream, aside, letters)
            await remove_letters(stream, letters)
            desk = self._desks.known(bucket.id)
            if desk is not None:
                desk.remove(messages)

        if messages:
            await self._driver.run(work)

    async def remove(self, aside: UUID, messages: Sequence[Message]) -> None:
        async def work(stream: Stream) -> None:
            read = {(m.new.job.id, m.attempt): m.placed for m in messages}
            lying = await find_letters(stream, aside, list(read))
            await remove_letters(stream, [x for x in lying if x.message.placed == read[x.key]])

        if messages:
            await self._driver.run(work)
