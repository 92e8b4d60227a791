"""The scheduling verbs for recurring schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Self, Unpack, overload
from uuid import UUID

import anyio.lowlevel
from attrs import evolve

from jobmaster._arguments.options import RECURRING, RULE_NAMES, UPDATE
from jobmaster._pipeline.schedule import Schedule
from jobmaster._runtime.environment import Environment
from jobmaster._upkeep.change_schedules import at_rest, redefined
from jobmaster.contracts import Topics
from jobmaster.definitions import UNSET, Data, JobDefinition, JobRequest
from jobmaster.errors import (
    ConfigurationError,
    InvalidArgumentsError,
    InvalidExpressionError,
    InvalidTransitionError,
    ScheduleNotFoundError,
    StoreConflictError,
)
from jobmaster.handlers import (
    Args,
    ClassWithoutArguments,
    PlainClass,
    Schedulable,
    TakesData,
    TakesNothing,
    target_of,
)
from jobmaster.ids import new_id
from jobmaster.models import Job, JobReceipt
from jobmaster.schedule_models import AT_ONCE, Firing, ScheduleReceipt, ScheduleRecord, ScheduleWrite
from jobmaster.schedule_rules import (
    Expression,
    RecurringChanges,
    RecurringOptions,
    ScheduleRules,
    as_schedule_id,
    schedule_of,
    zone_name,
)
from jobmaster.states import ScheduleStatus

CHANGE_TRIES: Final = 20
"""How often to retry a change of a schedule that a planner has moved on meanwhile."""

Change = Callable[[ScheduleRecord], ScheduleWrite | None]
"""Returns what to write for a schedule, or None if nothing has to change."""


class ScheduleVerbs(ABC):
    """The methods of `Scheduler` for recurring schedules.

    Errors common to all but `recurring`: `ScheduleNotFoundError` for an unknown id, `InvalidTransitionError` if the
    schedule's status does not allow it.
    """

    _env: Environment
    _schedule: Schedule

    @abstractmethod
    def _on(self, cluster: str | None) -> Self:
        """Return the scheduler of a cluster that runs in this process."""

    @overload
    async def recurring(
        self,
        handler: TakesData[Any],
        expression: Expression,
        data: Data | None,
        /,
        **options: Unpack[RecurringOptions],
    ) -> ScheduleReceipt: ...
    @overload
    async def recurring(
        self,
        handler: Schedulable[Args, Any],
        expression: Expression,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> ScheduleReceipt: ...
    @overload
    async def recurring(
        self,
        handler: type[PlainClass[Args, Any]],
        expression: Expression,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> ScheduleReceipt: ...
    @overload
    async def recurring(
        self, handler: TakesNothing[Any], expression: Expression, /, **options: Unpack[RecurringOptions]
    ) -> ScheduleReceipt: ...
    @overload
    async def recurring(
        self,
        handler: type[ClassWithoutArguments],
        expression: Expression,
        /,
        **options: Unpack[RecurringOptions],
    ) -> ScheduleReceipt: ...
    async def recurring(
        self, handler: Any, expression: Any, /, *args: Any, **keywords: Any
    ) -> ScheduleReceipt:
        """Schedule a job again and again; return a receipt with the schedule's id.

        Args:
            handler: a handler, or a `JobDefinition` if its code is not available.
            expression: when it fires: a text, a `timedelta`, an `Interval`, a `NaturalCron` or a `Cron`.
            args: values for the handler, the same each time: a mapping by name, or arguments by position.
            keywords: arguments of the handler, and options: `kind`, the language of a text: `natural` (the default),
                `cron`, `interval`; `time_zone`, an IANA name; `starts_after` and `ends_before`, aware datetimes;
                `overlap`: `skip` (the default), `queue`, `allow`, `cancel_running`; `misfire`: `run_once` (the
                default), `skip`, `run_all(5)`; and the options of the other calls: `key`, `priority`, `lane`,
                `timeout`, `max_retries`, `metadata`, `cluster`.

        Raises:
            InvalidExpressionError: the expression is wrong, or never fires.
            InvalidArgumentsError: another argument is wrong.
            KeyTakenError: the key belongs to a schedule of another handler.
            ConfigurationError: no zone is given, and the host's cannot be determined.

        """
        with _refusing():
            request = target_of(handler).requested(args, keywords, RECURRING)
        scheduler = self._on(request.options.cluster)
        return await scheduler._recurring(request, expression)  # noqa: SLF001 - same class

    async def _recurring(self, request: JobRequest, expression: Any) -> ScheduleReceipt:
        with _refusing():
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
        with _refusing():
            return schedule_of(rules, template, self._env.plugins.kinds, zone)

    def _template(self, request: JobRequest) -> Job:
        """Return the template of all jobs of a schedule."""
        return self._schedule.jobs([request])[0].job

    # Commands

    async def cancel_recurring(
        self, schedule_id: UUID | str, *, cluster: str | None = None
    ) -> ScheduleRecord:
        """Cancel a schedule for good, and remove its jobs that are not due yet; return the new record.

        A job that is due or running continues. A static schedule cannot be cancelled: its declaration would bring it
        back.
        """
        return await self._on(cluster)._change(schedule_id, _cancelled)  # noqa: SLF001 - same class

    async def pause_recurring(self, schedule_id: UUID | str, *, cluster: str | None = None) -> ScheduleRecord:
        """Pause a schedule until `resume_recurring`, and remove its jobs that are not due yet."""
        return await self._on(cluster)._change(schedule_id, _paused)  # noqa: SLF001 - same class

    async def resume_recurring(
        self, schedule_id: UUID | str, *, cluster: str | None = None
    ) -> ScheduleRecord:
        """Resume a paused schedule. Times that passed meanwhile do not count as missed: they are not run."""
        return await self._on(cluster)._change(schedule_id, _resumed)  # noqa: SLF001 - same class

    async def update_recurring(
        self,
        schedule_id: UUID | str,
        expression: Expression = UNSET,
        data: Data | None = None,
        /,
        *,
        cluster: str | None = None,
        **changes: Unpack[RecurringChanges],
    ) -> ScheduleRecord:
        """Change the definition of a dynamic schedule, from the next time on; return the new record.

        Takes the options of `recurring` except `key`. Options that are left out stay as they are; data and metadata are
        replaced as a whole. Jobs that are not due yet are made anew.

        Raises:
            InvalidExpressionError: the expression is wrong, or never fires.
            InvalidArgumentsError: another argument is wrong.

        """
        scheduler = self._on(cluster)
        given: Mapping[str, Any] = (
            changes if expression is UNSET else {"kind": None, **changes, "expression": expression}
        )
        return await scheduler._change(  # noqa: SLF001 - same class
            schedule_id,
            lambda record: scheduler._updated(record, given, data),  # noqa: SLF001 - same class
        )

    async def run_now(self, schedule_id: UUID | str, *, cluster: str | None = None) -> JobReceipt:
        """Run a job of a schedule at once, out of turn: it neither replaces a nominal time nor overlaps with one."""
        scheduler = self._on(cluster)
        job_id = new_id()
        now = self._env.clock.now()

        def out_of_turn(record: ScheduleRecord) -> ScheduleWrite:
            _check_not_over(record, "a schedule that is over runs nothing")
            return ScheduleWrite(record=record, firings=[Firing(job=_out_of_turn(record, job_id, now))])

        record = await scheduler._change(schedule_id, out_of_turn)  # noqa: SLF001 - same class
        env = scheduler._env  # noqa: SLF001 - same class
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
        _check_not_over(record, "a schedule that is over cannot be updated; create a new one")
        rules = {name: getattr(record, name) for name in (*RULE_NAMES, "expression")}
        rules |= {name: given[name] for name in rules.keys() & given.keys()}
        options = {name: value for name, value in given.items() if name not in rules}
        with _refusing():
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
def _refusing() -> Iterator[None]:
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
        why = f"and declared in code as {record.name!r}, so that it cannot be {done} here: {remedy}"
        raise _refused(record, ScheduleStatus.CANCELLED, why)


def _refused(record: ScheduleRecord, after: ScheduleStatus, why: str) -> InvalidTransitionError:
    return InvalidTransitionError(record.id, record.status, (), after, why, what="schedule")
