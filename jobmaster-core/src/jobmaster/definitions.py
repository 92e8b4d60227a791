"""Job definitions: what a kind of job is called and which settings it has; and requests to run one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Self

from attrs import evolve, field, frozen

from jobmaster._policy.retry import RetryPolicy, as_backoff
from jobmaster.config import (
    LONGEST,
    as_priority,
    as_text,
    check_known,
    check_name,
    check_priority,
    seconds,
)
from jobmaster.data import MessageData, Metadata
from jobmaster.errors import ConfigurationError, InvalidArgumentsError, SchedulingError
from jobmaster.models import record
from jobmaster.options import OPTION_NAMES, check_meant
from jobmaster.places import placed
from jobmaster.showing import shown

MOST_RETRIES = 1000

SETTING_NAMES = ("timeout", "max_retries", "priority", "lane", "metadata", "retry")

UNSET: Any = object()
"""A setting that was not given, so that the next level decides (None means "no limit" for some)."""


def _as_number(value: Any) -> Any:
    """Return the plain number of an enum's member, which drivers would store otherwise."""
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
        timeout: seconds or `timedelta` an attempt may take; None for no limit.
        max_retries: how often a failed job is tried again.
        priority: how urgent these jobs are: a `Priority`, or its name such as `"high"`.
        lane: the lane they go to.
        metadata: facts that each job carries; a call's own metadata is merged over it.
        retry: when it is tried again: a `RetryPolicy`, a backoff, or a fixed delay.

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
        """Name a setting that there is not, before the generated `__init__` refuses it in Python's words."""
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
        timeout: Any = UNSET,
        max_retries: Any = UNSET,
        priority: Any = UNSET,
        lane: Any = UNSET,
        metadata: Mapping[str, Any] | None = None,
        retry: Any = None,
    ) -> None:
        """Check all settings, so that what is wrong is told with the definition and its line."""
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

    def request(self, data: Mapping[str, Any] | MessageData | None = None, /, **options: Any) -> JobRequest:
        """Return a request for `once_many`; options as for the scheduling calls."""
        return JobRequest(self, *split_options(self.id, data, options))


@record
class JobRequest:
    """A job to be scheduled: definition, values for its handler, and options of the call."""

    definition: JobDefinition
    values: Mapping[str, Any] | MessageData
    options: CallOptions
    target: Any = None
    """The handler that checks the values, if the caller has its code."""


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
"""Those of a call that gives none, as most do."""

CONFIRMERS = ("agent", "master")
"""Whose answer a scheduling call may wait for: that of an agent, where there is one, or that of the master."""


def split_options(
    definition_id: str,
    data: Mapping[str, Any] | MessageData | None,
    keywords: Mapping[str, Any],
    parameters: Collection[str] = (),
) -> tuple[Mapping[str, Any] | MessageData, CallOptions]:
    """Part the keywords of a scheduling call into the handler's values and the call's options.

    `parameters` are those that the handler names. Raises `InvalidArgumentsError` for an option that is wrong, for a
    keyword that looks like one, and for a value that is given twice.
    """
    if not keywords:
        return data.copy() if type(data) is dict else _own(data), NO_OPTIONS
    arguments = {name: value for name, value in keywords.items() if name not in OPTION_NAMES}
    check_meant(definition_id, arguments, parameters)
    chosen = _options(definition_id, keywords) if len(arguments) < len(keywords) else NO_OPTIONS
    if not arguments:
        return _own(data), chosen
    if data and (twice := arguments.keys() & set(data)):
        msg = f"{min(twice)}: scheduling {definition_id!r} has a value for it in the mapping and one as a keyword"
        raise InvalidArgumentsError(f"{msg}; give one")
    return {**(data or {}), **arguments}, chosen


def _options(definition_id: str, keywords: Mapping[str, Any]) -> CallOptions:
    """Return the options among the keywords of a call, checked."""
    given = {name: value for name, value in keywords.items() if name in OPTION_NAMES}
    chosen = CallOptions(
        **{name: value for name, value in given.items() if value is not None or name == "timeout"}
    )
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
    """Return data that its caller cannot change any more."""
    # Not asked of a dict: whether it is an instance of an abstract class takes longer than copying it.
    return data if isinstance(data, MessageData) else dict(data or {})


def _check_confirm(value: Any) -> None:
    if value not in (None, *CONFIRMERS):
        msg = f"confirm: {shown(value)} cannot take a job; use one of {', '.join(CONFIRMERS)}"
        raise InvalidArgumentsError(msg)


def check_metadata(metadata: Any) -> Mapping[str, Any]:
    """Return metadata if it is a mapping; raises `InvalidArgumentsError`."""
    if not isinstance(metadata, Mapping):
        msg = f"metadata: {shown(metadata)} is no mapping of names to values; write metadata={{'team': 'billing'}}, for one"
        raise InvalidArgumentsError(msg)
    return metadata


def check_settings(prefix: str, settings: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` naming the first setting of a job that is out of range, behind a prefix."""
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
