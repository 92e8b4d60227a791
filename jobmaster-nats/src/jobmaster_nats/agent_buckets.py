"""The buckets of an agent on NATS."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final
from uuid import UUID

from attrs import define

from jobmaster.contracts import AgentBucketStore, Backlog
from jobmaster.models import Bucket
from jobmaster_nats.desks import Desks
from jobmaster_nats.driver import NatsDriver
from jobmaster_nats.names import bucket_of
from jobmaster_nats.parts import remove_stray
from jobmaster_nats.records import BucketNote, entry_of, read_note
from jobmaster_nats.scanning import scan
from jobmaster_nats.stream import Stream

_LOOK_FOR_STRAY: Final = 900.0
"""Seconds between two searches of a process for parts that belong to no message."""


class NatsAgentBuckets(AgentBucketStore):
    """The buckets of an agent on NATS. A bucket is what its messages' subjects have in common; it needs no room."""

    def __init__(self, driver: NatsDriver, desks: Desks) -> None:
        """`desks` are shared with the other stores of the agent."""
        self._driver, self._desks = driver, desks
        self._searched_at = float("-inf")

    async def create(self, buckets: Sequence[Bucket]) -> None:
        async def work(stream: Stream) -> None:
            await stream.store([entry_of(stream, b.id, BucketNote(epoch=b.epoch)) for b in buckets])

        if buckets:
            await self._driver.run(work)

    async def drop(self, bucket_id: UUID) -> bool:
        """Remove the note of an empty bucket: nobody owns it then. A message that comes later is in `holdings`."""

        async def work(stream: Stream) -> bool:
            if await stream.is_any(stream.names.messages_in(bucket_id)):
                return False
            while (note := await read_note(stream, bucket_id)) is not None:
                await stream.delete([note.seq])
            await self._desks.drop(bucket_id)
            return True

        return await self._driver.run(work)

    async def holdings(self) -> Mapping[UUID, int]:
        async def work(stream: Stream) -> Counter[UUID]:
            await self._remove_stray(stream)
            return Counter(map(bucket_of, await stream.subjects(stream.names.messages)))

        return await self._driver.run(work)

    async def _remove_stray(self, stream: Stream) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._searched_at > _LOOK_FOR_STRAY:
            self._searched_at = now
            await remove_stray(stream)

    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        """Read all messages: this is for users, and costs as much as there is."""

        async def work(stream: Stream) -> dict[UUID, Backlog]:
            await stream.observe_clock()
            found: dict[UUID, _Count] = {}
            async with aclosing(scan(stream, stream.names.messages)) as letters:
                async for letter in letters:
                    if letter.message.new.job.cluster_id == cluster_id:
                        count = found.setdefault(letter.bucket_id, _Count())
                        count.add(letter.pushed, saved=letter.message.saved)
            now = stream.time.now()
            return {bucket_id: count.backlog(now) for bucket_id, count in found.items()}

        return await self._driver.run(work)


@define
class _Count:
    messages: int = 0
    save_pending: int = 0
    oldest: int | None = None

    def add(self, pushed: int, *, saved: bool) -> None:
        self.messages += 1
        if not saved:
            self.save_pending += 1
            self.oldest = pushed if self.oldest is None else min(pushed, self.oldest)

    def backlog(self, now: int) -> Backlog:
        age = None if self.oldest is None else max(0.0, (now - self.oldest) / 1_000_000)
        return Backlog(messages=self.messages, save_pending=self.save_pending, oldest_save_pending=age)
