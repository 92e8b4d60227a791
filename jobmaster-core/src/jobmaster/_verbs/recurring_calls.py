"""What the verbs for recurring schedules do on one running cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import anyio.lowlevel
from attrs import evolve

from jobmaster._arguments.options import RULE_NAMES, UPDATE
from jobmaster._upkeep.change_schedules import at_rest, redefined
from jobmaster.contracts import Topics
from jobmaster.definitions import Data, JobDefinition, JobRequest
from jobmaster.errors import (
    ConfigurationError,
    InvalidArgumentsError,
    InvalidExpressionError,
    InvalidTransitionError,
    ScheduleNotFoundError,
    StoreConflictError,
)
from jobmaster.ids import new_id
from jobmaster.models import Job, JobReceipt
from jobmaster.schedule_models import AT_ONCE, Firing, ScheduleReceipt, ScheduleRecord, ScheduleWrite
from jobmaster.schedule_rules import (
    ScheduleRules,
    as_schedule_id,
    schedule_of,
    zone_name,
)
from jobmaster.states import ScheduleStatus

if TYPE_CHECKING:
    from jobmaster._pipeline.schedule import Schedule
    from jobmaster._runtime.environment import Environment

CHANGE_TRIES: Final = 20
"""How often to retry a change of a schedule that a planner has moved on meanwhile."""

Change = Callable[[ScheduleRecord], ScheduleWrite | None]
"""Returns what to write for a schedule, or None if nothing has to change."""


class RecurringCalls:
    """What the verbs for recurring schedules do on one running cluster."""

    def __init__(self, env: Environment, schedule: Schedule) -> None:
        """`schedule` is the step that checks requests."""
        self._env, self._schedule = env, schedule

    async def add(self, request: JobRequest, expression: Any) -> ScheduleReceipt:
        """Store the schedule that a request and an expression describe."""
        with refusing():
            rules = ScheduleRules(expression, **request.options.rules)
            template = self._template(request)
        record = self._made(rules, template)
        await anyio.lowlevel.checkpoint_if_cancelled()
        receipt = (await self._env.master.schedules.add([record]))[0]
        self._tell_planners()
        return receipt

    def _made(self, rules: ScheduleRules, template: Job) -> ScheduleRecord:
        zone = zone_name(
            rules, self._env.settings.time_zone
        )  # an error about the host's zone is not the call's fault
        with refusing():
            return schedule_of(rules, template, self._env.plugins.kinds, zone)

    def _template(self, request: JobRequest) -> Job:
        """Return the template of all jobs of a schedule."""
        return self._schedule.jobs([request])[0].job

    async def cancel(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Cancel a schedule for good; return the new record."""
        return await self._change(schedule_id, _cancelled)

    async def pause(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Pause a schedule; return the new record."""
        return await self._change(schedule_id, _paused)

    async def resume(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Resume a paused schedule; return the new record."""
        return await self._change(schedule_id, _resumed)

    async def update(
        self, schedule_id: UUID | str, given: Mapping[str, Any], data: Data | None
    ) -> ScheduleRecord:
        """Change what was `given` of a schedule's definition; return the new record."""
        return await self._change(schedule_id, lambda record: self._updated(record, given, data))

    async def run_now(self, schedule_id: UUID | str) -> JobReceipt:
        """Make a job of a schedule that is due at once."""
        env, job_id = self._env, new_id()
        now = env.clock.now()

        def out_of_turn(record: ScheduleRecord) -> ScheduleWrite:
            _check_not_over(record, "a schedule that has ended runs no jobs")
            return ScheduleWrite(record=record, firings=[Firing(job=_out_of_turn(record, job_id, now))])

        record = await self._change(schedule_id, out_of_turn)
        env.notify.tell(Topics.held(env.cluster_id))
        env.jobs_made([_out_of_turn(record, job_id, now)])
        return JobReceipt(job_id=job_id, accepted_by="master")

    async def _change(self, schedule_id: UUID | str, change: Change) -> ScheduleRecord:
        for _ in range(CHANGE_TRIES):
            await anyio.lowlevel.checkpoint_if_cancelled()
            record = await self._stored(schedule_id)
            write = change(record)
            if write is None:
                return record
            if await self._env.master.schedules.write([write]):
                self._tell_planners()
                return await self._stored(schedule_id)
        msg = f"schedule {schedule_id} keeps changing; try again"
        raise StoreConflictError(msg)

    async def _stored(self, schedule_id: UUID | str) -> ScheduleRecord:
        env, wanted = self._env, as_schedule_id(schedule_id)
        found = [] if wanted is None else await env.master.schedules.get(env.cluster_id, [wanted])
        if not found:
            raise ScheduleNotFoundError(schedule_id, env.cluster_id)
        return found[0]

    def _updated(self, record: ScheduleRecord, given: Mapping[str, Any], data: Data | None) -> ScheduleWrite:
        _check_dynamic(record, "updated", "change its declaration in the code")
        _check_not_over(record, "a schedule that has ended cannot be updated; create a new one")
        rules = {name: getattr(record, name) for name in (*RULE_NAMES, "expression")}
        rules |= {name: given[name] for name in rules.keys() & given.keys()}
        options = {name: value for name, value in given.items() if name not in rules}
        with refusing():
            template = self._updated_template(record, options, data)
            asked = ScheduleRules(rules.pop("expression"), **_without_none(rules))
        now = record.read_at or self._env.clock.now()
        made = self._made(asked, evolve(template, created_at=now))
        job = evolve(made.job, created_at=record.created_at)
        wanted = evolve(made, job=job, status=record.status)
        return redefined(record, wanted, self._env.plugins.kinds, self._env.misfire_grace)

    def _updated_template(self, record: ScheduleRecord, options: dict[str, Any], data: Data | None) -> Job:
        if "key" in options:
            raise InvalidArgumentsError("key: a schedule keeps its key; create a new one with another key")
        if not options and data is None:
            return record.job
        target = self._env.registry.get(record.definition_id) or JobDefinition(record.definition_id)
        request = target.requested((record.data if data is None else data,), options, UPDATE)
        made = self._template(request)
        names = [*request.options.given(), "data", *(["metadata"] if request.options.metadata else [])]
        return evolve(record.job, **{name: getattr(made, name) for name in names})

    def _tell_planners(self) -> None:
        self._env.notify.tell(Topics.schedules(self._env.cluster_id))


def _out_of_turn(record: ScheduleRecord, job_id: UUID, now: datetime) -> Job:
    """Return a job of a schedule that is due now."""
    return evolve(record.job, id=job_id, scheduled_at=now, created_at=now, key=None)


def _without_none(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out rules given as None: the same as not given."""
    return {name: value for name, value in rules.items() if value is not None}


@contextmanager
def refusing() -> Iterator[None]:
    """Within the block, raise a wrong setting as an invalid argument of the call."""
    try:
        yield
    except InvalidExpressionError:
        raise
    except ConfigurationError as error:
        raise InvalidArgumentsError(str(error)) from None


# Changes of a schedule


def _cancelled(record: ScheduleRecord) -> ScheduleWrite | None:
    _check_dynamic(
        record, "cancelled", "remove its declaration from the code; pause_recurring() stops it until then"
    )
    if record.status.is_terminal:
        return None
    over = evolve(at_rest(record, ScheduleStatus.CANCELLED), waiting=())
    return ScheduleWrite(record=over, restart=True)


def _paused(record: ScheduleRecord) -> ScheduleWrite | None:
    if record.status is ScheduleStatus.PAUSED:
        return None
    if record.status is not ScheduleStatus.ACTIVE:
        raise _refused(record, ScheduleStatus.PAUSED, "only an active schedule can be paused")
    return ScheduleWrite(record=at_rest(record, ScheduleStatus.PAUSED), restart=True)


def _resumed(record: ScheduleRecord) -> ScheduleWrite | None:
    if record.status is ScheduleStatus.ACTIVE:
        return None
    if record.status is not ScheduleStatus.PAUSED:
        raise _refused(record, ScheduleStatus.ACTIVE, "only a paused schedule can be resumed")
    going_on = evolve(at_rest(record, ScheduleStatus.ACTIVE), look_at=AT_ONCE)
    return ScheduleWrite(record=going_on, restart=True)


def _check_not_over(record: ScheduleRecord, why: str) -> None:
    if record.status.is_terminal:
        raise _refused(record, ScheduleStatus.ACTIVE, why)


def _check_dynamic(record: ScheduleRecord, done: str, remedy: str) -> None:
    if record.is_static:
        why = f"and declared in code as {record.name!r}, so it cannot be {done} here: {remedy}"
        raise _refused(record, ScheduleStatus.CANCELLED, why)


def _refused(record: ScheduleRecord, after: ScheduleStatus, why: str) -> InvalidTransitionError:
    return InvalidTransitionError(record.id, record.status, (), after, why, what="schedule")
