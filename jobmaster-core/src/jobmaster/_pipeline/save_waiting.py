"""Beside the flow: jobs that have to wait on an agent are saved on the master asynchronously.

A job that starts and ends soon reaches the master with its report, in one write. A job that has to wait, for its
time or for a free slot, is saved before that, so that it is visible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from jobmaster.models import NewJob, Position

if TYPE_CHECKING:
    from jobmaster._flow.ownership import OwnedBucket
    from jobmaster.contracts import JobStore, Message, MessageStore

JOBS_AT_ONCE = 500


@define(eq=False)
class SaveWaiting:
    """Saves jobs that have waited in an owned bucket for `age` seconds."""

    jobs: JobStore
    messages: MessageStore
    owned: OwnedBucket
    age: float
    _after: Position | None = field(default=None, init=False)

    async def run_once(self) -> bool:
        """Save a page of jobs; return whether there may be more."""
        page = await self.messages.read_unsaved(self.owned.bucket, self.age, self._after, JOBS_AT_ONCE)
        waiting = [message for message in page.messages if self._waits(message)]
        if waiting:
            await self.jobs.insert([self._in_bucket(message) for message in waiting])
            await self.messages.note_saved(self.owned.bucket, [(m.new.job.id, m.attempt) for m in waiting])
        self._after = page.after
        return len(page.messages) == JOBS_AT_ONCE

    def _waits(self, message: Message) -> bool:
        """Return whether a job is not in flight; if it were, its report or the beat would save it."""
        job_id = message.new.job.id
        return (
            job_id not in self.owned.in_flight and (job_id, message.attempt) not in self.owned.unacknowledged
        )

    def _in_bucket(self, message: Message) -> NewJob:
        return NewJob(job=message.new.job, delay=message.new.delay, bucket_id=self.owned.id)
