"""The tasks that run a worker's jobs: one per slot, and those of handlers that do not end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from jobmaster._process.tasks import LeavableTask
from jobmaster.loops import start_in

if TYPE_CHECKING:
    from jobmaster._flow.ownership import OwnedBucket, Slot
    from jobmaster._pipeline.execute import Execute

CLEAN_UP = 10.0
"""Seconds for which a handler that was left may go on, in case it has something to clean up."""
LAST_MOMENT = 1.0
"""Seconds in which all tasks must end when the worker is over."""


class Runners:
    """Runs the slots of a worker outside any task group, which would have to wait for handlers that never end."""

    def __init__(self, execute: Execute, group: TaskGroup) -> None:
        """`group` runs the tasks that clear away left handlers."""
        self._execute = execute
        self._group = group
        self._tasks: dict[Slot, LeavableTask] = {}

    def start(self, owned: OwnedBucket) -> None:
        """Run the slots of a bucket."""
        for slot in owned.slots:
            self._start(owned, slot)

    def _start(self, owned: OwnedBucket, slot: Slot) -> None:
        task = self._tasks[slot] = LeavableTask(f"jobmaster {owned.bucket.priority.name.lower()} slot")
        task.start(self._execute.runner, owned, slot)

    def leave(self, owned: OwnedBucket, slot: Slot) -> None:
        """Go on without a handler that does not end: its attempt is reported, and another slot takes its place."""
        self._execute.leave(owned, slot)
        fresh = owned.replace(slot)
        if not owned.closed:
            self._start(owned, fresh)
        start_in(self._group, self._clear_away, slot)

    async def _clear_away(self, slot: Slot) -> None:
        task = self._tasks[slot]
        with anyio.move_on_after(CLEAN_UP):
            await task.ended.wait()
        task.leave()
        del self._tasks[slot]

    async def close(self) -> None:
        """End all tasks, and leave behind those that do not end."""
        for task in self._tasks.values():
            task.cancel()
        with anyio.move_on_after(LAST_MOMENT, shield=True):
            for task in self._tasks.values():
                await task.ended.wait()
        for task in self._tasks.values():
            task.leave()
