"""Static schedules: declared in code, registered at start, kept alive by the processes that declare them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Unpack

from attrs import define, field

from jobmaster._arguments.options import RULE_NAMES, STATIC
from jobmaster._process.places import placed
from jobmaster.config import check_name
from jobmaster.definitions import JobOptions, JobRequest
from jobmaster.errors import ConfigurationError, SchedulingError
from jobmaster.handlers import ClassWithoutArguments, Registry, TakesNothing, target_of
from jobmaster.schedule_rules import Expression, RuleOptions, ScheduleRules, check_expression

_NO_DATA: Final = (
    "a static schedule carries no message data, as no call schedules its jobs; let the handler read what it needs, "
    "or create the schedule at run time with scheduler.recurring(...)"
)


class StaticOptions(JobOptions, RuleOptions, total=False):
    """The options of `StaticSchedule`, besides its expression."""


@define(init=False)
class StaticSchedule:
    """A recurring schedule that code declares, for `Cluster.add_schedules`.

    Its settings override the handler's. It is active while a process with workers declares it.
    """

    name: str
    """Unique in the cluster: it identifies the schedule from one release to the next."""
    rules: ScheduleRules
    """When it fires, and what happens if it cannot."""
    request: JobRequest = field(repr=False)
    """The template of its jobs."""

    def __init__(
        self,
        name: str,
        handler: TakesNothing[Any] | type[ClassWithoutArguments],
        expression: Expression,
        /,
        **settings: Unpack[StaticOptions],
    ) -> None:
        """Declare a schedule.

        Args:
            name: unique in the cluster, and stable across releases.
            handler: a handler, or a `JobDefinition`.
            expression: when it fires: a text, a `timedelta`, an `Interval`, a `NaturalCron` or a `Cron`.
            settings: `kind`, `time_zone`, `starts_after`, `ends_before`, `overlap` and `misfire` as for
                `scheduler.recurring`; `priority`, `lane`, `timeout`, `max_retries` and `metadata` of its jobs.

        Raises:
            ConfigurationError: a setting is wrong; the message names the schedule, the setting and the remedy.

        """
        rules: dict[str, Any] = {key: value for key, value in settings.items() if key in RULE_NAMES}
        options: dict[str, Any] = {key: value for key, value in settings.items() if key not in RULE_NAMES}
        try:
            self.name = check_name("name", name, longest=200)
            self.rules = ScheduleRules(expression, **rules)
            check_expression(self.rules)
            self.request = _request(handler, options)
        except (ConfigurationError, SchedulingError) as error:
            raise placed(f"schedule {name!r}", error) from error


def _request(target: Any, options: dict[str, Any]) -> JobRequest:
    if "data" in options:
        raise ConfigurationError(_NO_DATA)
    request = target_of(target).requested((), options, STATIC)
    if request.values:
        raise ConfigurationError(f"{', '.join(map(repr, sorted(request.values)))}: {_NO_DATA}")
    return request


def declared(registry: Registry, profiles: Iterable[StaticSchedule]) -> Sequence[StaticSchedule]:
    """Return all static schedules: the profiles, and those on handlers, which have their definition's id.

    Raises `ConfigurationError` for two with one name, and for one whose handler needs data.
    """
    found: dict[str, StaticSchedule] = {}
    for schedule in (*profiles, *_on_handlers(registry)):
        if schedule.name in found:
            msg = f"schedule {schedule.name!r} is declared twice; names are unique in a cluster, so give one another name"
            raise ConfigurationError(msg)
        found[schedule.name] = schedule
        _check_needs_nothing(schedule)
    return list(found.values())


def _on_handlers(registry: Registry) -> Iterable[StaticSchedule]:
    for made in registry.values():
        if made.rules is not None:
            schedule = StaticSchedule(made.definition.id, made, made.rules.expression, kind=made.rules.kind)
            schedule.rules = made.rules
            yield schedule


def _check_needs_nothing(schedule: StaticSchedule) -> None:
    try:
        if schedule.request.target is not None:
            schedule.request.target.check({})
    except SchedulingError as error:
        msg = f"schedule {schedule.name!r}: {error}; {_NO_DATA}"
        raise ConfigurationError(msg) from error
