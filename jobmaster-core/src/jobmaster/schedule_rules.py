"""When a recurring schedule fires and what happens if it cannot: checked when it is created or changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, TypedDict
from uuid import UUID

from attrs import Attribute, field, frozen

from jobmaster._text.showing import shown
from jobmaster.clock import require_aware
from jobmaster.definitions import JobOptions
from jobmaster.errors import ConfigurationError, InvalidExpressionError
from jobmaster.models import Job, evolve
from jobmaster.recurrence import Cron, Interval, Kinds, NaturalCron, RecurrenceKind, zone_of
from jobmaster.recurrence.expressions import CronKind, NaturalKind
from jobmaster.recurrence.host import host_zone_name
from jobmaster.recurrence.interval import KIND as INTERVAL
from jobmaster.recurrence.interval import IntervalKind
from jobmaster.recurrence.zones import warn_of
from jobmaster.schedule_models import Fires, Misfire, ScheduleRecord
from jobmaster.states import Overlap


def _overlap(value: Any) -> Overlap:
    try:
        return Overlap(value)
    except ValueError:
        msg = f"overlap: {shown(value)} is not an overlap policy; use one of {', '.join(Overlap)}"
        raise ConfigurationError(msg) from None


def _misfire(value: Any) -> Misfire:
    try:
        return value if isinstance(value, Misfire) else Misfire.parse(value)
    except (ValueError, TypeError):
        msg = f"misfire: {shown(value)} is not a misfire policy; use 'run_once', 'skip' or 'run_all(5)' (up to 1,000)"
        raise ConfigurationError(msg) from None


def _check_zone(_: Any, __: Attribute[Any], value: str | None) -> None:
    if value is not None:
        zone_of(value)


def _start(value: Any) -> datetime | None:
    return _moment("starts_after", value)


def _end(value: Any) -> datetime | None:
    return _moment("ends_before", value)


def _moment(name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        return require_aware(name, value)
    except (ValueError, AttributeError, OverflowError) as error:
        msg = f"{name}: {shown(value)} is not an aware datetime; write e.g. datetime(2030, 1, 31, tzinfo=timezone.utc)"
        raise ConfigurationError(msg) from error


class RuleOptions(TypedDict, total=False):
    """The options of a schedule besides its expression; None is the same as not given."""

    kind: str | None
    time_zone: str | None
    starts_after: datetime | None
    ends_before: datetime | None
    overlap: Overlap | Literal["skip", "queue", "allow", "cancel_running"] | None
    misfire: Misfire | str | None


Expression: TypeAlias = str | timedelta | Interval | NaturalCron | Cron
"""When a schedule fires; a plug-in's kind may have its own types."""


@frozen
class ScheduleRules:
    """The rules of a recurring schedule, besides its handler and its jobs' settings.

    Args:
        expression: when it fires: a text, a `timedelta`, an `Interval`, a `NaturalCron` or a `Cron`.
        kind: the language of a text (`natural`, `cron`, `interval`, or one of a plug-in).
        time_zone: the IANA name of its zone; by default the cluster's `time_zone`, or the host's.
        starts_after: an aware datetime: it fires after that, and intervals count from there.
        ends_before: an aware datetime: it fires before that.
        overlap: what happens if its last job has not ended: `skip`, `queue`, `allow`, `cancel_running`.
        misfire: what happens to missed times: `run_once`, `skip`, `run_all(5)`.

    Raises:
        ConfigurationError: one of them is wrong; the message names it and the remedy.

    """

    expression: Any
    kind: str | None = field(default=None, kw_only=True)
    time_zone: str | None = field(default=None, validator=_check_zone, kw_only=True)
    starts_after: datetime | None = field(default=None, converter=_start, kw_only=True)
    ends_before: datetime | None = field(default=None, converter=_end, kw_only=True)
    overlap: Overlap = field(default=Overlap.SKIP, converter=_overlap, kw_only=True)
    misfire: Misfire = field(factory=Misfire.run_once, converter=_misfire, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check the settings that depend on each other."""
        if self.starts_after and self.ends_before and self.ends_before <= self.starts_after:
            msg = f"ends_before: {self.ends_before} is not after starts_after ({self.starts_after}); nothing would ever run"
            raise ConfigurationError(msg)


_NEVER: Final = (int, float, bytes)
"""Types that are not expressions of any kind: `every=5` does not say five of what."""
_BUILT_IN: Final[Sequence[RecurrenceKind]] = (IntervalKind(), NaturalKind(), CronKind())


def check_expression(rules: ScheduleRules) -> None:
    """Raise `InvalidExpressionError` for an invalid expression of a built-in kind.

    Expressions of other kinds are checked at start, by the plug-ins of the cluster.
    """
    for kind in _BUILT_IN:
        if rules.kind == kind.name or (rules.kind is None and kind.accepts(rules.expression)):
            Kinds(_BUILT_IN).compile(rules.expression, kind.name, zone_of(rules.time_zone or "UTC"))
            return
    if rules.kind is None and isinstance(rules.expression, _NEVER):
        Kinds(_BUILT_IN).compile(rules.expression, None, zone_of("UTC"))


def zone_name(rules: ScheduleRules, time_zone: str | None) -> str:
    """Return the zone of a schedule: its own, or the cluster's, or the host's.

    Raises `ConfigurationError` if it is the host's, and that cannot be determined.
    """
    return rules.time_zone or time_zone or host_zone_name()


def schedule_of(
    rules: ScheduleRules, template: Job, kinds: Kinds, time_zone: str, name: str | None = None
) -> ScheduleRecord:
    """Return a new schedule, not yet stored, whose jobs are like `template`.

    `time_zone` is what `zone_name` returns; `name` makes it a static one. Raises `InvalidExpressionError` for an
    expression that is invalid, or that never fires between start and end. Without a start it counts from the store's
    now; the check here uses the template's creation, which is this host's estimate of that.
    """
    now = template.created_at
    zone = zone_of(rules.time_zone or time_zone)
    compiled = kinds.compile(rules.expression, rules.kind, zone)
    if compiled.kind != INTERVAL:  # elapsed time is the same everywhere
        warn_of(zone)
    start = rules.starts_after or now
    made = ScheduleRecord(
        job=evolve(template, scheduled_at=start),
        kind=compiled.kind,
        expression=compiled.text,
        time_zone=zone.key,
        name=name,
        ends_before=rules.ends_before,
        overlap=rules.overlap,
        misfire=rules.misfire,
        planned_to=max(start, now),
        starts_now=rules.starts_after is None,
    )
    return evolve(made, next_at=_first(made, kinds))


def _first(record: ScheduleRecord, kinds: Kinds) -> datetime:
    first = Fires(kinds, record)(record.planned_to)
    if first is None:
        end = f" and before {record.ends_before}" if record.ends_before else ""
        reason = f"it never fires after {record.planned_to.astimezone(UTC)}{end}"
        raise InvalidExpressionError(record.kind, record.expression, reason)
    return first


def as_schedule_id(schedule_id: UUID | str) -> UUID | None:
    """Return a schedule's id from its text; None for a text that is not an id."""
    if isinstance(schedule_id, UUID):
        return schedule_id
    try:
        return UUID(schedule_id)
    except (ValueError, AttributeError, TypeError):
        return None


class RecurringChanges(JobOptions, RuleOptions, total=False):
    """The options of `update_recurring`, besides expression and data."""


class RecurringOptions(RecurringChanges, total=False):
    """Options of `recurring`."""

    key: str | None
    cluster: str | None
