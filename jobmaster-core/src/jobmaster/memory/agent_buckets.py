"""The buckets of an agent in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define

from jobmaster.contracts import AgentBucketStore, Backlog
from jobmaster.memory.agent_mail import AgentMail
from jobmaster.models import Bucket


@define(eq=False, repr=False, slots=False)
class MemoryAgentBuckets(AgentBucketStore):
    """The buckets of an agent in memory."""

    mail: AgentMail

    async def create(self, buckets: Sequence[Bucket]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            for bucket in buckets:
                box.epochs.setdefault(bucket.id, bucket.epoch)

    async def drop(self, bucket_id: UUID) -> bool:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            if box.in_bucket(bucket_id):
                return False
            box.epochs.pop(bucket_id, None)
            return True

    async def holdings(self) -> Mapping[UUID, int]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            return {bucket_id: len(letters) for bucket_id, letters in box.letters.groups.items()}

    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            found = {bucket_id: self._backlog(bucket_id, cluster_id) for bucket_id in box.letters.groups}
            return {bucket_id: backlog for bucket_id, backlog in found.items() if backlog.messages}

    def _backlog(self, bucket_id: UUID, cluster_id: str) -> Backlog:
        lying = self.mail.box.in_bucket(bucket_id)
        letters = [letter for letter in lying if letter.message.new.job.cluster_id == cluster_id]
        pending = [letter.pushed_at for letter in letters if not letter.message.saved]
        oldest = max(0.0, (self.mail.now() - min(pending)).total_seconds()) if pending else None
        return Backlog(messages=len(letters), save_pending=len(pending), oldest_save_pending=oldest)
