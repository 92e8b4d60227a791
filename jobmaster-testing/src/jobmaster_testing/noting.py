"""A handler for tests that look at which attempts started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio

from jobmaster import JobContext, handler
from jobmaster_testing.probes import Seen


class Noting:
    """A handler that notes its starts, and waits to be released if its job says so (`waits=True`)."""

    def __init__(self, definition_id: str, **options: Any) -> None:
        """Take the options of `@handler`; an attempt has no time limit unless they set one."""
        self.starts, self.release = Seen[tuple[UUID, int]](), anyio.Event()
        self.handler = handler(definition_id, **{"timeout": None, **options})(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def noting(job: JobContext) -> None:
            self.starts.add((job.id, job.attempt))
            if job.data.get("waits"):
                await self.release.wait()

        return noting
