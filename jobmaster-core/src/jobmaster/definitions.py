"""Job definitions: the id and the settings of a kind of job; and requests to run one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack
from uuid import UUID

from attrs import evolve, field, frozen

from jobmaster._arguments.options import OPTION_NAMES, REQUEST, RULE_NAMES, Verb, check_meant, misplaced
from jobmaster._process.places import placed
from jobmaster._text.showing import shown
from jobmaster.config import (
    LONGEST,
    PriorityName,
    as_priority,
    as_text,
    check_known,
    check_name,
    check_priority,
    seconds,
)
from jobmaster.data import MessageData, Metadata
from jobmaster.errors import ConfigurationError, InvalidArgumentsError, SchedulingError
from jobmaster.models import OfResult, R_co, record
from jobmaster.retry import Backoff, RetryPolicy, as_backoff
from jobmaster.states import Priority

MOST_RETRIES = 1000

SETTING_NAMES = ("timeout", "max_retries", "priority", "lane", "metadata", "retry")

Fact: TypeAlias = (
    str | int | float | bool | Decimal | datetime | date | timedelta | UUID | bytes | Enum | None
)
"""A value of metadata."""
Data: TypeAlias = Mapping[str, object] | MessageData
"""Values for a handler, by name."""


class DefinitionSettings(TypedDict, total=False):
    """The settings of a `JobDefinition`."""

    timeout: timedelta | float | None
    max_retries: int
    priority: Priority | PriorityName
    lane: str
    metadata: Mapping[str, Fact]
    retry: RetryPolicy | Backoff | timedelta | float


class JobOptions(TypedDict, total=False):
    """Options of every scheduling call; None leaves all but `timeout` to the definition."""

    timeout: timedelta | float | None
    max_retries: int | None
    priority: Priority | PriorityName | None
    lane: str | None
    metadata: Mapping[str, Fact] | None


class ScheduleOptions(JobOptions, total=False):
    """Options of `once_now`, `once_at` and `once_after`."""

    key: str | None
    confirm: Literal["agent", "master"] | None
    cluster: str | None


class RequestOptions(JobOptions, total=False):
    """Options of `request`, for `once_many`."""

    key: str | None
    confirm: Literal["agent", "master"] | None
    at: datetime | None
    after: timedelta | float | None


UNSET: Any = object()
"""A setting that was not given, so that the next level decides (None means "no limit" for some)."""


def _as_number(value: Any) -> Any:
    """Return the plain number of an enum member, which drivers would store differently."""
    return int(value) if isinstance(value, int) and isinstance(value, Enum) else value


def _retry_policy(value: Any) -> RetryPolicy | None:
    if value is None or isinstance(value, RetryPolicy):
        return value
    return RetryPolicy(default=as_backoff("retry", value))


@frozen(init=False)
class JobDefinition:
    """A kind of job, known by its id. Producers that have no handler code schedule by it.

    Settings that are left out are resolved later: call argument, then definition, then cluster default.

    Args:
        id: the definition id that producers and workers agree on.
        timeout: seconds or `timedelta` that an attempt may take; None for no limit.
        max_retries: how often a failed job is tried again.
        priority: how urgent these jobs are: a `Priority`, or its name such as `"high"`.
        lane: the lane they go to.
        metadata: facts that each job carries; a call's own metadata is merged over them.
        retry: when a failed job is tried again: a `RetryPolicy`, a backoff, or a fixed delay.

    Raises:
        ConfigurationError: a setting is out of range; the message names it.

    """

    id: str = field(converter=as_text)
    timeout: Any = field(default=UNSET, kw_only=True)
    max_retries: Any = field(default=UNSET, kw_only=True, converter=_as_number)
    priority: Any = field(default=UNSET, kw_only=True, converter=as_priority)
    lane: Any = field(default=UNSET, kw_only=True, converter=as_text)
    metadata: Mapping[str, Any] = field(factory=dict, kw_only=True)
    retry: RetryPolicy | None = field(default=None, kw_only=True, converter=_retry_policy)
    settings: Mapping[str, Any] = field(init=False, repr=False, eq=False)
    """The settings that were given."""
    own_metadata: Metadata = field(init=False, repr=False, eq=False)
    """`metadata`, encoded."""

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Report an unknown setting before the generated `__init__` refuses it with Python's message."""
        if args:
            try:
                check_known("", given, SETTING_NAMES)
            except ConfigurationError as error:
                raise placed(f"definition {args[0]!r}", error) from error
        return object.__new__(cls)

    def __init__(
        self,
        id: str,  # noqa: A002 - the attribute's name
        *,
        timeout: timedelta | float | None = UNSET,
        max_retries: int = UNSET,
        priority: Priority | PriorityName = UNSET,
        lane: str = UNSET,
        metadata: Mapping[str, Fact] | None = None,
        retry: RetryPolicy | Backoff | timedelta | float | None = None,
    ) -> None:
        """Check all settings, so that errors name the definition and its line."""
        try:
            self.__attrs_init__(
                id,
                timeout=timeout,
                max_retries=max_retries,
                priority=priority,
                lane=lane,
                metadata={} if metadata is None else metadata,
                retry=retry,
            )
        except ConfigurationError as error:
            raise placed(f"definition {id!r}", error) from error

    @settings.default
    def _settings(self) -> Mapping[str, Any]:
        check_name("definition id", self.id, longest=200)
        given = _given(self)
        check_settings("", given)
        return given

    @own_metadata.default
    def _own_metadata(self) -> Metadata:
        try:
            return Metadata.of(check_metadata(self.metadata))
        except SchedulingError as error:
            raise ConfigurationError(str(error)) from error

    def request(self, data: Data | None = None, /, **options: Unpack[RequestOptions]) -> JobRequest[Any]:
        """Return a request for `once_many`; options as for the scheduling calls, and `at` or `after`."""
        return self.requested(() if data is None else (data,), options, REQUEST)

    def requested(self, args: Sequence[Any], keywords: Mapping[str, Any], verb: Verb) -> JobRequest[Any]:
        """Return the request that a call of a verb makes."""
        return JobRequest(self, *split_call(Taken(self.id), args, keywords, verb))


@record
class JobRequest(OfResult[R_co]):
    """A job to be scheduled: definition, values for its handler, and options of the call."""

    definition: JobDefinition
    values: Mapping[str, Any] | MessageData
    options: CallOptions
    target: Any = None
    """The handler that checks the values, if the caller has its code."""


NO_RULES: Mapping[str, Any] = {}


@frozen(kw_only=True)
class CallOptions:
    """Options of one scheduling call; `UNSET` leaves a setting to the definition or the cluster."""

    timeout: Any = UNSET
    max_retries: Any = field(default=UNSET, converter=_as_number)
    priority: Any = field(default=UNSET, converter=as_priority)
    lane: Any = field(default=UNSET, converter=as_text)
    metadata: Mapping[str, Any] = field(factory=dict)
    key: str | None = None
    at: datetime | None = None
    after: timedelta | float | None = None
    confirm: str | None = None
    cluster: str | None = None
    rules: Mapping[str, Any] = NO_RULES
    """Options of `recurring` for the schedule itself."""

    def given(self) -> dict[str, Any]:
        """Return the settings that were given."""
        return _given(self)

    def due(self, *, at: datetime | None = None, after: timedelta | float | None = None) -> CallOptions:
        """Return these options with a due time."""
        return evolve(self, at=at, after=after)


def _given(level: JobDefinition | CallOptions) -> dict[str, Any]:
    names = ("timeout", "max_retries", "priority", "lane")
    return {name: getattr(level, name) for name in names if getattr(level, name) is not UNSET}


NO_OPTIONS = CallOptions()
"""The options of a call without any, which most are."""

CONFIRMERS = ("agent", "master")
"""The stores whose confirmation a scheduling call may wait for: an agent, if there is one, or the master."""


@frozen
class Taken:
    """What the jobs of a definition take: the parameters of its handler, if its code is available."""

    definition_id: str
    names: frozenset[str] = frozenset()
    by_position: Sequence[str] = ()
    takes_none: Callable[[], bool] = bool
    """Whether None is a valid value of the first parameter, and differs from leaving it out."""


@frozen
class Preset:
    """Options that a call starts with, as given and as checked."""

    given: Mapping[str, Any]
    chosen: CallOptions


NO_PRESET = Preset({}, NO_OPTIONS)


def split_call(
    taken: Taken,
    args: Sequence[Any],
    keywords: Mapping[str, Any],
    verb: Verb,
    preset: Preset = NO_PRESET,
) -> tuple[Mapping[str, Any] | MessageData, CallOptions]:
    """Split a call into the handler's values and the call's options.

    A keyword that is a parameter of the handler is a value, any other keyword an option, if the verb has it. Raises
    `InvalidArgumentsError` for a wrong option, for a keyword that looks like an option, and for an ambiguous call.
    """
    data = _positional(taken, args) if args else None
    if not keywords:
        return data.copy() if type(data) is dict else _own(data), preset.chosen
    values, options, unknown = {}, {}, []
    for name, value in keywords.items():
        if name in taken.names and not (verb.options_first and name in verb.options):
            values[name] = value
        elif name in verb.options:
            options[name] = value
        elif name in OPTION_NAMES and name not in RULE_NAMES:
            raise misplaced(taken.definition_id, name, value, verb)
        else:
            values[name] = value
            unknown.append(name)
    if unknown:
        check_meant(taken.definition_id, unknown)
    chosen = preset.chosen
    if options:
        given = options if preset is NO_PRESET else merged(preset.given, options)
        chosen = call_options(taken.definition_id, given)
    if not values:
        return _own(data), chosen
    if data is not None:
        _check_apart(taken, args, data, values, verb)
    return {**(data or {}), **values}, chosen


def _positional(taken: Taken, args: Sequence[Any]) -> Mapping[str, Any] | MessageData | None:
    """Return the values that a call gives by position: a single mapping holds them by name."""
    first = args[0]
    if len(args) == 1:
        if first is None:
            if taken.takes_none():
                name = taken.by_position[0]
                msg = f"{name}: None may be its value, or say that there are none; write {name}=None, or leave it out"
                raise InvalidArgumentsError(f"scheduling {taken.definition_id!r}: {msg}")
            return None
        if isinstance(first, Mapping):
            return first
    names = taken.by_position
    if not names:
        wrong = f"{len(args)} values by position" if len(args) > 1 else type(first).__name__
        raise InvalidArgumentsError(f"data must be a mapping of names to values, not {wrong}")
    if len(args) > len(names):
        msg = f"{taken.definition_id!r} takes {len(names)} by position ({', '.join(names)}), not {len(args)}"
        raise InvalidArgumentsError(f"arguments of {msg}")
    return dict(zip(names, args, strict=False))


def _check_apart(
    taken: Taken, args: Sequence[Any], data: Mapping[str, Any], values: Mapping[str, Any], verb: Verb
) -> None:
    """Raise for a value that is given twice, and for a keyword beside a mapping that may also be an option."""
    both = sorted(verb.options & values.keys()) if data is args[0] else []
    if both:
        raise InvalidArgumentsError(
            f"{both[0]}: beside a mapping it may be the option of {verb.name}(), or an argument of "
            f"{taken.definition_id!r}; put the argument into the mapping, and give the option with "
            f"handler.with_options({both[0]}=...)"
        )
    if twice := values.keys() & set(data):
        where = "in the mapping" if data is args[0] else "by position"
        msg = f"{min(twice)}: scheduling {taken.definition_id!r} has a value for it {where} and one as a keyword"
        raise InvalidArgumentsError(f"{msg}; give one")


def merged(options: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return merged options, of which the later ones win; facts of metadata are merged."""
    both = {**options, **more}
    facts = [level["metadata"] for level in (options, more) if isinstance(level.get("metadata"), Mapping)]
    if len(facts) > 1:
        both["metadata"] = {**facts[0], **facts[1]}
    return both


def call_options(definition_id: str, given: Mapping[str, Any]) -> CallOptions:
    """Return the options of a call, checked; None leaves all but `timeout` open."""
    told = {name: value for name, value in given.items() if value is not None or name == "timeout"}
    if not RULE_NAMES.isdisjoint(told):
        told["rules"] = {name: told.pop(name) for name in RULE_NAMES & told.keys()}
    chosen = CallOptions(**told)
    try:
        check_settings(f"scheduling {definition_id!r}: ", chosen.given())
    except ConfigurationError as error:
        raise InvalidArgumentsError(str(error)) from None
    if chosen.at is not None and chosen.after is not None:
        msg = f"at, after: scheduling {definition_id!r} has both a moment and a delay; give one"
        raise InvalidArgumentsError(msg)
    check_metadata(chosen.metadata)
    _check_confirm(chosen.confirm)
    return chosen


def _own(data: Mapping[str, Any] | MessageData | None) -> Mapping[str, Any] | MessageData:
    """Return data that the caller can no longer change."""
    # Not checked for a dict: an isinstance check against an abstract class takes longer than copying it.
    return data if isinstance(data, MessageData) else dict(data or {})


def _check_confirm(value: Any) -> None:
    if value not in (None, *CONFIRMERS):
        msg = f"confirm: {shown(value)} cannot take a job; use one of {', '.join(CONFIRMERS)}"
        raise InvalidArgumentsError(msg)


def check_metadata(metadata: Any) -> Mapping[str, Any]:
    """Return metadata if it is a mapping; raises `InvalidArgumentsError`."""
    if not isinstance(metadata, Mapping):
        msg = f"metadata: {shown(metadata)} is not a mapping of names to values; write e.g. metadata={{'team': 'billing'}}"
        raise InvalidArgumentsError(msg)
    return metadata


def check_settings(prefix: str, settings: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` naming, after a prefix, the first setting of a job that is out of range."""
    for name, value in settings.items():
        _CHECKS[name](prefix + name, value)


def _check_timeout(setting: str, value: Any) -> None:
    if value is not None and not 0 < seconds(setting, value) <= LONGEST:
        msg = f"{setting}: {shown(value)} is out of range; give positive seconds, a timedelta, or None for no limit"
        raise ConfigurationError(msg)


def _check_retries(setting: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_RETRIES:
        msg = f"{setting}: {shown(value)} is out of range; it must be a whole number from 0 to {MOST_RETRIES}"
        raise ConfigurationError(msg)


_CHECKS: Mapping[str, Callable[[str, Any], object]] = {
    "timeout": _check_timeout,
    "max_retries": _check_retries,
    "priority": check_priority,
    "lane": check_name,
}
