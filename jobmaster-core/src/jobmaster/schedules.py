"""Reading recurring schedules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Unpack
from uuid import UUID

from jobmaster._runtime.environment import Environment
from jobmaster._runtime.runtime_scope import RuntimeScope
from jobmaster.errors import ScheduleNotFoundError
from jobmaster.queries import (
    Named,
    ScheduleConditions,
    ScheduleStatusName,
    definition_id_of,
    flag,
    page_limit,
    page_start,
    statuses_of,
)
from jobmaster.schedule_models import Fires, ScheduleQuery, ScheduleRecord
from jobmaster.schedule_rules import as_schedule_id
from jobmaster.states import ScheduleStatus


class Schedules:
    """The recurring schedules of a running cluster: `runtime.schedules`."""

    def __init__(self, env: Environment, scope: RuntimeScope) -> None:
        self._environment, self._scope = env, scope

    @property
    def _env(self) -> Environment:
        """The environment of the verbs; raises `NotRunningError` where and when they cannot work."""
        self._scope.check()
        return self._environment

    async def get(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Return a schedule; raises `ScheduleNotFoundError`."""
        found = await self.find(schedule_id)
        if found is None:
            raise ScheduleNotFoundError(schedule_id, self._env.cluster_id)
        return found

    async def find(self, schedule_id: UUID | str) -> ScheduleRecord | None:
        """Return a schedule, or None."""
        env, wanted = self._env, as_schedule_id(schedule_id)
        if wanted is None:
            return None
        found = await env.master.schedules.get(env.cluster_id, [wanted])
        return found[0] if found else None

    async def query(
        self,
        *,
        status: ScheduleStatus | ScheduleStatusName | Iterable[ScheduleStatus | ScheduleStatusName] = (),
        handler: Named | None = None,
        static: bool | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> Sequence[ScheduleRecord]:
        """Return a page of schedules by descending id: dynamic ones are ordered newest first.

        Args:
            status: one or several; all if none is given.
            handler: a handler, a definition, or a definition id.
            static: True for schedules that code declares, False for the others.
            limit: schedules on the page, at most 1,000.
            after: the id of the last schedule of the previous page.

        Raises:
            InvalidQueryError: a value makes no sense.

        """
        query = ScheduleQuery(
            statuses=statuses_of(ScheduleStatus, status),
            definition_id=definition_id_of(handler),
            static=flag("static", static),
            limit=page_limit(limit),
            after=page_start(after),
        )
        return await self._env.master.schedules.query(self._env.cluster_id, query)

    async def all(self, **conditions: Unpack[ScheduleConditions]) -> AsyncIterator[ScheduleRecord]:
        """Iterate over all matching schedules, page by page; conditions as for `query`."""
        after: UUID | None = None
        while page := await self.query(limit=1000, after=after, **conditions):
            for schedule in page:
                yield schedule
            after = page[-1].id

    async def upcoming(self, schedule_id: UUID | str, count: int = 10) -> list[datetime]:
        """Return the next nominal times of a schedule in UTC, up to 1,000, regardless of its status.

        Raises `ScheduleNotFoundError`, and `InvalidQueryError` for a `count` that is out of range.
        """
        count = page_limit(count, "count")
        schedule = await self.get(schedule_id)
        fires, time = Fires(self._env.plugins.kinds, schedule), await self._env.master.now()
        found: list[datetime] = []
        while len(found) < count and (following := fires(time)) is not None:
            found.append(time := following)
        return found
