"""`@handler`, the class form, and the registry that finds a handler by definition id."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial, update_wrapper
from typing import Any, Protocol, TypeVar, get_type_hints, overload

import typeguard
from attrs import fields_dict

from jobmaster.config import check_known
from jobmaster.context import JobContext
from jobmaster.data import MessageData
from jobmaster.definitions import RESERVED_NAMES, JobDefinition, JobRequest, split_options
from jobmaster.errors import (
    ConfigurationError,
    DuplicateDefinitionError,
    InvalidArgumentsError,
    UnknownHandlerError,
)
from jobmaster.rules import ScheduleRules

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound="type[JobHandler]")

HandlerFunction = Callable[..., Any]
Builder = Callable[[type[Any]], Any]

_SIMPLE = frozenset({str, int, float, bool, bytes})


class Handler:
    """A function or class that runs jobs of one definition. Calling it calls the function itself."""

    def __init__(self, definition: JobDefinition, target: Callable[..., Any] | type[JobHandler]) -> None:
        """Check the target's parameters; raises `ConfigurationError` for one that cannot be served."""
        self.definition = definition
        self.target = target
        self.is_class = inspect.isclass(target)
        function: Callable[..., Any] = getattr(target, "handle") if self.is_class else target  # noqa: B009
        _check_runs(definition.id, function)
        self.is_async = inspect.iscoroutinefunction(function)
        self._function = function
        parameters = list(inspect.signature(function).parameters.values())[1 if self.is_class else 0 :]
        self._arguments = _argument_parameters(definition.id, parameters)
        self.takes_arguments = bool(self._arguments)
        self.rules: ScheduleRules | None = None
        """When jobs of this handler recur, if its decorator says so."""
        update_wrapper(self, function)

    @property
    def where(self) -> str:
        """Where the handler is defined: module and qualified name."""
        return f"{self.target.__module__}.{self.target.__qualname__}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as if it were not decorated."""
        return self.target(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<handler {self.definition.id!r} {self.where}>"

    def request(self, data: Mapping[str, Any] | MessageData | None = None, /, **keywords: Any) -> JobRequest:
        """Return a request for `once_many`: data and arguments, and options as for the scheduling calls."""
        values, options = split_options(self.definition.id, data, keywords)
        return JobRequest(self.definition, values, options, self)

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise `InvalidArgumentsError` unless `values` fit the handler's signature and annotations."""
        if not self.takes_arguments:
            return
        try:
            self._signature.bind(**values)
        except TypeError as error:
            wanted = ", ".join(str(p) for p in self._arguments)
            msg = f"arguments of {self.definition.id!r}: {error}; it takes ({wanted})"
            raise InvalidArgumentsError(msg) from error
        for name, value in values.items():
            self._check_type(name, value)

    def _check_type(self, name: str, value: Any) -> None:
        wanted = self._hints.get(name, Any)
        if wanted is Any or (wanted in _SIMPLE and type(value) is wanted):
            return
        try:
            typeguard.check_type(value, wanted)
        except typeguard.TypeCheckError as error:
            msg = f"argument {name!r} of {self.definition.id!r}: {error}"
            raise InvalidArgumentsError(msg) from error

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.Signature(self._arguments)

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        try:
            return get_type_hints(self._function)
        except NameError as error:
            msg = f"handler {self.definition.id!r} ({self.where}): an annotation cannot be resolved: {error}"
            raise ConfigurationError(msg) from error

    def bind(self, build: Builder) -> Callable[[JobContext], Any]:
        """Return what runs one attempt, called with the context: a coroutine function or a plain one."""
        if self.is_class:
            return partial(_run_instance, self, build)
        return self._run_with_arguments if self.takes_arguments else self._function

    def _run_with_arguments(self, job: JobContext) -> Any:
        return self._function(job, **job.data)


def _run_instance(handler: Handler, build: Builder, job: JobContext) -> Any:
    method = build(handler.target).handle  # type: ignore[arg-type]  # a class, checked by is_class
    return method(job, **job.data) if handler.takes_arguments else method(job)


def _argument_parameters(definition_id: str, parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Return the parameters after the context, as keyword-only ones."""
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        msg = f"handler {definition_id!r} must take the JobContext as its first parameter"
        raise ConfigurationError(msg)
    arguments = [p for p in parameters[1:] if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    for parameter in arguments:
        if parameter.name in RESERVED_NAMES:
            msg = f"handler {definition_id!r}: parameter {parameter.name!r} is an option of scheduling calls; rename it"
            raise ConfigurationError(msg)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            msg = f"handler {definition_id!r}: parameter {parameter.name!r} must not be positional-only"
            raise ConfigurationError(msg)
    keyword = inspect.Parameter.KEYWORD_ONLY
    variadic = inspect.Parameter.VAR_KEYWORD
    return [p if p.kind is variadic else p.replace(kind=keyword) for p in arguments]


class JobHandler:
    """Base of the class form: an instance is built per attempt, its `handle` runs the job.

    Decorate the subclass with `@handler("id", …)`. A plug-in's `jobmaster_build_handler` hook, or
    `Cluster.build_handlers_with`, may hand services to its constructor.
    """

    handler: Handler

    def handle(self, job: JobContext, *args: Any, **kwargs: Any) -> Any:
        """Run one attempt; may be `async`, and may take typed arguments after the context."""
        raise NotImplementedError

    @classmethod
    def request(cls, data: Mapping[str, Any] | MessageData | None = None, /, **keywords: Any) -> JobRequest:
        """Return a request for `once_many`, as `Handler.request` does."""
        return handler_of(cls).request(data, **keywords)


class _Decorator(Protocol):
    @overload
    def __call__(self, target: C, /) -> C: ...
    @overload
    def __call__(self, target: F, /) -> Handler: ...


_SETTINGS = fields_dict(JobDefinition).keys() - {"id"}
_WHEN = frozenset({"every", "cron"})
_RULES = fields_dict(ScheduleRules).keys() - {"expression", "kind"}

_registered: dict[str, Handler] = {}
"""Every decorated handler of this process, by module and qualified name."""


def handler(definition_id: str, /, **settings: Any) -> _Decorator:
    """Make a function or a `JobHandler` subclass the handler of a definition.

    Args:
        definition_id: what jobs call it by; unique in a cluster, and stable across releases.
        settings: as for `JobDefinition`: timeout, max_retries, priority, lane, metadata, retry. With
            `every` (such as "1 hour", "day at 18:00", a `timedelta`) or `cron` (such as "0 18 * * *") its jobs
            recur, as a static schedule of the definition's name; then also `time_zone`, `starts_after`,
            `ends_before`, `overlap` and `misfire`, as for `scheduler.recurring`.

    Returns:
        A `Handler` for a function, which still can be called; for a class, the class itself.

    Raises:
        ConfigurationError: a setting or the signature is wrong; the message names it.

    """
    if not isinstance(definition_id, str):
        msg = f'write @handler("SomeId"), with the definition id in parentheses (got {definition_id!r})'
        raise ConfigurationError(msg)
    where = f"handler {definition_id!r}"
    rules = _recurs(where, settings)
    asked = {name: value for name, value in settings.items() if rules is None or name not in _WHEN | _RULES}
    check_known(where, asked, _SETTINGS | _WHEN | _RULES)
    return partial(_decorate, JobDefinition(definition_id, **asked), rules)


def _recurs(where: str, settings: Mapping[str, Any]) -> ScheduleRules | None:
    """Return when jobs recur, if a decorator's settings say so."""
    when = [name for name in ("every", "cron") if settings.get(name) is not None]
    if not when:
        if named := sorted(_RULES & settings.keys()):
            msg = f"{where}: {named[0]} is about a recurring schedule; say when it fires, with every=... or cron=..."
            raise ConfigurationError(msg)
        return None
    if len(when) > 1:
        msg = f"{where}: give every or cron, not both; Cluster.add_schedules declares any number of schedules"
        raise ConfigurationError(msg)
    rules = {name: value for name, value in settings.items() if name in _RULES and value is not None}
    try:
        if when == ["cron"]:
            return ScheduleRules(settings["cron"], kind="cron", **rules)
        return ScheduleRules(_every(settings["every"]), **rules)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _every(expression: Any) -> Any:
    """Return what `every=` means: a text may leave its first word out."""
    if isinstance(expression, str) and not expression.lstrip().lower().startswith("every"):
        return f"every {expression}"
    return expression


def _decorate(definition: JobDefinition, rules: ScheduleRules | None, target: Any) -> Any:
    if inspect.isclass(target):
        if not issubclass(target, JobHandler):
            msg = f"handler {definition.id!r}: class {target.__qualname__} must derive from JobHandler"
            raise ConfigurationError(msg)
        if target.handle is JobHandler.handle:
            msg = f"handler {definition.id!r}: class {target.__qualname__} must define handle(self, job)"
            raise ConfigurationError(msg)
    elif not callable(target):
        msg = f"handler {definition.id!r}: {target!r} is neither a function nor a class"
        raise ConfigurationError(msg)
    elif not hasattr(
        target, "__qualname__"
    ):  # a partial or a callable object: without a name or a place of its own
        msg = f"handler {definition.id!r}: {target!r} is no function; decorate a function that calls it"
        raise ConfigurationError(msg)
    made = Handler(definition, target)
    made.rules = rules
    _registered[made.where] = made
    if made.is_class:
        target.handler = made
        return target
    return made


def _check_runs(definition_id: str, function: Any) -> None:
    """Raise for a generator function: calling one runs nothing, and its job would have succeeded unrun."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", repr(function))
        msg = f"handler {definition_id!r}: {name} has a yield, so that calling it runs nothing; remove the yield"
        raise ConfigurationError(msg)


def handler_of(target: Any) -> Handler:
    """Return the handler behind a decorated function or class; raises `UnknownHandlerError` for others."""
    if isinstance(target, Handler):
        return target
    found = getattr(target, "handler", None)
    if isinstance(found, Handler):
        return found
    name = getattr(target, "__qualname__", repr(target))
    msg = (
        f'{name} is no handler; decorate it with @handler("SomeId"), or schedule by a JobDefinition("SomeId")'
    )
    raise UnknownHandlerError(msg)


def registered_handlers() -> list[Handler]:
    """Return every handler that was decorated at module level in this process."""
    return [made for made in _registered.values() if "<locals>" not in made.where]


class Registry(Mapping[str, Handler]):
    """The handlers of one cluster by definition id."""

    def __init__(self, handlers: Iterable[Any]) -> None:
        """Collect handlers; raises `DuplicateDefinitionError` if two share an id."""
        self._handlers: dict[str, Handler] = {}
        for made in map(handler_of, handlers):
            other = self._handlers.setdefault(made.definition.id, made)
            if other.where != made.where:
                raise DuplicateDefinitionError(made.definition.id, other.where, made.where)

    def __getitem__(self, definition_id: str) -> Handler:
        return self._handlers[definition_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)


__all__ = [
    "Handler",
    "JobHandler",
    "Registry",
    "handler",
    "handler_of",
    "registered_handlers",
]
