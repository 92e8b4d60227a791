"""The scheduling verbs for recurring schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack, overload
from uuid import UUID

from jobmaster._arguments.options import RECURRING
from jobmaster._verbs.recurring_calls import refusing
from jobmaster.definitions import UNSET, Data
from jobmaster.handlers import (
    Args,
    ClassWithoutArguments,
    PlainClass,
    Schedulable,
    TakesData,
    TakesNothing,
    target_of,
)

if TYPE_CHECKING:
    from jobmaster._verbs.cluster_calls import ClusterCalls
    from jobmaster.models import JobReceipt
    from jobmaster.schedule_models import ScheduleReceipt, ScheduleRecord
    from jobmaster.schedule_rules import (
        Expression,
        RecurringChanges,
        RecurringOptions,
    )


class ScheduleVerbs(ABC):
    """The methods of `Scheduler` for recurring schedules.

    Errors common to all but `recurring`: `ScheduleNotFoundError` for an unknown id, `InvalidTransitionError` if the
    schedule's status does not allow it.
    """

    @abstractmethod
    def _on(self, cluster: str | None) -> ClusterCalls:
        """Return the calls of a cluster that runs in this process; raises if it takes none."""

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
        with refusing():
            request = target_of(handler).requested(args, keywords, RECURRING)
        return await self._on(request.options.cluster).recurring.add(request, expression)

    # Commands

    async def cancel_recurring(
        self, schedule_id: UUID | str, *, cluster: str | None = None
    ) -> ScheduleRecord:
        """Cancel a schedule for good, and remove its jobs that are not due yet; return the new record.

        A job that is due or running continues. A static schedule cannot be cancelled: its declaration would bring it
        back.
        """
        return await self._on(cluster).recurring.cancel(schedule_id)

    async def pause_recurring(self, schedule_id: UUID | str, *, cluster: str | None = None) -> ScheduleRecord:
        """Pause a schedule until `resume_recurring`, and remove its jobs that are not due yet."""
        return await self._on(cluster).recurring.pause(schedule_id)

    async def resume_recurring(
        self, schedule_id: UUID | str, *, cluster: str | None = None
    ) -> ScheduleRecord:
        """Resume a paused schedule. Times that passed meanwhile do not count as missed: they are not run."""
        return await self._on(cluster).recurring.resume(schedule_id)

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
        given: Mapping[str, Any] = (
            changes if expression is UNSET else {"kind": None, **changes, "expression": expression}
        )
        return await self._on(cluster).recurring.update(schedule_id, given, data)

    async def run_now(self, schedule_id: UUID | str, *, cluster: str | None = None) -> JobReceipt:
        """Run a job of a schedule at once, out of turn: it neither replaces a nominal time nor overlaps with one."""
        return await self._on(cluster).recurring.run_now(schedule_id)
