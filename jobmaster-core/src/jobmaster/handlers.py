"""`@handler`, the class form, and the registry that finds a handler by definition id."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, update_wrapper
from types import CodeType
from typing import Any, Protocol, TypeVar, overload

from attrs import fields_dict

from jobmaster.arguments import Arguments, Values, signature_of
from jobmaster.config import check_known
from jobmaster.context import JobContext
from jobmaster.data import MessageData
from jobmaster.definitions import SETTING_NAMES, JobDefinition, JobRequest, split_options
from jobmaster.errors import ConfigurationError, DuplicateDefinitionError, UnknownHandlerError
from jobmaster.options import RESERVED_NAMES
from jobmaster.places import placed
from jobmaster.rules import ScheduleRules, check_expression
from jobmaster.showing import shown
from jobmaster.urls import said

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound="type[JobHandler]")

HandlerFunction = Callable[..., Any]
Builder = Callable[[type[Any]], Any]


class Handler:
    """A function or class that runs jobs of one definition. Calling it calls the function itself."""

    def __init__(self, definition: JobDefinition, target: Callable[..., Any] | type[JobHandler]) -> None:
        """Check the target's parameters; raises `ConfigurationError` for one that cannot be served."""
        self.definition = definition
        self.target = target
        self.is_class = inspect.isclass(target)
        function: Callable[..., Any] = getattr(target, "handle") if self.is_class else target  # noqa: B009
        _check_runs(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self._function = function
        self._execution = getattr(inspect.unwrap(function), "__globals__", {}).get("__spec__")
        """What tells one execution of a module from the next: a reload gives it a new one."""
        parameters = list(signature_of(function).parameters.values())[1 if self.is_class else 0 :]
        own = _argument_parameters(parameters)
        self._arguments = Arguments(definition.id, f"handler {definition.id!r} ({self.where})", function, own)
        self.takes_arguments = bool(own)
        self.rules: ScheduleRules | None = None
        """When jobs of this handler recur, if its decorator says so."""
        update_wrapper(self, function)

    @property
    def where(self) -> str:
        """Where the handler is defined: module and qualified name."""
        return f"{self.target.__module__}.{self.target.__qualname__}"

    @property
    def place(self) -> str:
        """Where the handler is defined, with file and line."""
        code = self._code
        return self.where if code is None else f"{self.where} ({code.co_filename}:{code.co_firstlineno})"

    @property
    def _code(self) -> CodeType | None:
        if self.is_class and "handle" not in vars(self.target):
            return None
        return getattr(inspect.unwrap(self._function), "__code__", None)

    def replaces(self, other: Handler) -> bool:
        """Whether this is `other`, made anew by source that runs again: a module reloaded, a cell of a notebook.

        A loop or a factory makes its handlers from the same code. Two places of one file that was run once are two.
        """
        code, former = self._code, other._code
        if self.target is other.target or self.where != other.where:
            return self.target is other.target
        if code is None or former is None:  # classes that inherit `handle`
            return code is former and "<locals>" not in self.where
        if code is former:
            return False
        same_file = code.co_filename == former.co_filename and not code.co_filename.startswith("<")
        moved = code.co_firstlineno != former.co_firstlineno
        return not (same_file and moved and self._execution is other._execution)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as if it were not decorated."""
        return self.target(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<handler {self.definition.id!r} {self.where}>"

    def request(self, data: Mapping[str, Any] | MessageData | None = None, /, **keywords: Any) -> JobRequest:
        """Return a request for `once_many`: data and arguments, and options as for the scheduling calls."""
        values, options = split_options(self.definition.id, data, keywords, self._arguments.names)
        return JobRequest(self.definition, values, options, self)

    def look_up(self, surroundings: Mapping[str, Any]) -> None:
        """Look the arguments' annotations up, among the names around the handler too; `prepare` tries again."""
        self._arguments.look_up(surroundings)

    def prepare(self) -> None:
        """See that values can be checked and carried; raises `ConfigurationError`, which names the annotation."""
        self._arguments.prepare()

    def carry(self, values: Values) -> Values:
        """Return values as a job carries them.

        Raises `InvalidArgumentsError` unless they fit the handler's signature and annotations.
        """
        return self._arguments.carry(values) if self.takes_arguments else values

    def check(self, values: Values) -> None:
        """Raise `InvalidArgumentsError` unless `values` fit the handler's signature and annotations."""
        self.carry(values)

    def restore(self, data: MessageData) -> Mapping[str, Any]:
        """Return the arguments of a job's data, of the types that the annotations name."""
        return self._arguments.restore(data)

    def bind(self, build: Builder) -> Callable[[JobContext], Any]:
        """Return what runs one attempt, called with the context: a coroutine function or a plain one."""
        if self.is_class:
            return partial(_run_instance, self, build)
        if not self.takes_arguments:
            return self._function
        return self._run_restored if self._arguments.converts else self._run_with_data

    def _run_with_data(self, job: JobContext) -> Any:
        return self._function(job, **job.data)

    def _run_restored(self, job: JobContext) -> Any:
        return self._function(job, **self.restore(job.data))


def _run_instance(handler: Handler, build: Builder, job: JobContext) -> Any:
    method = build(handler.target).handle  # type: ignore[arg-type]  # a class, checked by is_class
    return method(job, **handler.restore(job.data)) if handler.takes_arguments else method(job)


def _argument_parameters(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Return the parameters after the context."""
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        msg = "it must take the JobContext as its first parameter"
        raise ConfigurationError(msg)
    arguments = [p for p in parameters[1:] if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    for parameter in arguments:
        if parameter.name in RESERVED_NAMES:
            msg = f"parameter {parameter.name!r} is an option of scheduling calls; rename it"
            raise ConfigurationError(msg)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            msg = f"parameter {parameter.name!r} must not be positional-only"
            raise ConfigurationError(msg)
    return arguments


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


_WHEN = frozenset({"every", "cron"})
_RULES = fields_dict(ScheduleRules).keys() - {"expression", "kind"}

_registered: dict[str, list[Handler]] = {}
"""The decorated handlers of this process by definition id; several of one id are a conflict."""


def handler(definition_id: str, /, **settings: Any) -> _Decorator:
    """Make a function or a `JobHandler` subclass the handler of a definition.

    Args:
        definition_id: what jobs call it by; unique in a cluster, and stable across releases.
        settings: as for `JobDefinition`: timeout, max_retries, priority, lane, metadata, retry. With
            `every` (words such as "daily at 18:00", also without "every" before them as in "1 hour"; a `timedelta`; an
            object of any kind, such as `Interval("90s")`) or `cron` (such as "0 18 * * *") its jobs
            recur, as a static schedule of the definition's name; then also `time_zone`, `starts_after`,
            `ends_before`, `overlap` and `misfire`, as for `scheduler.recurring`.

    Returns:
        A `Handler` for a function, which still can be called; for a class, the class itself.

    Raises:
        ConfigurationError: a setting or the signature is wrong; the message names it.

    """
    if not isinstance(definition_id, str):
        msg = f'write @handler("SomeId"), with the definition id in parentheses (got {shown(definition_id)})'
        raise ConfigurationError(msg)
    try:
        rules = _recurs(settings)
        asked = {name: value for name, value in settings.items() if name not in _WHEN | _RULES}
        check_known("", asked, {*SETTING_NAMES, *_WHEN, *_RULES})
    except ConfigurationError as error:
        raise placed(f"handler {shown(definition_id)}", error) from error
    return partial(_decorate, JobDefinition(definition_id, **asked), rules)


def _recurs(settings: Mapping[str, Any]) -> ScheduleRules | None:
    """Return when jobs recur, if a decorator's settings say so."""
    when = [name for name in ("every", "cron") if settings.get(name) is not None]
    if not when:
        if named := sorted(_RULES & settings.keys()):
            msg = f"{named[0]} is about a recurring schedule; say when it fires, with every=... or cron=..."
            raise ConfigurationError(msg)
        return None
    if len(when) > 1:
        msg = "give every or cron, not both; Cluster.add_schedules declares any number of schedules"
        raise ConfigurationError(msg)
    from jobmaster.recurrence.decorated import cron_of, every_of

    rules = {name: value for name, value in settings.items() if name in _RULES and value is not None}
    if when == ["cron"]:
        made = ScheduleRules(cron_of(settings["cron"]), kind="cron", **rules)
    else:
        made = ScheduleRules(every_of(settings["every"]), **rules)
    check_expression(made)
    return made


def _check_target(target: Any) -> None:
    """Raise `ConfigurationError` for what can be no handler."""
    if inspect.isclass(target):
        if not issubclass(target, JobHandler):
            msg = f"class {target.__qualname__} must derive from JobHandler"
            raise ConfigurationError(msg)
        if target.handle is JobHandler.handle:
            msg = f"class {target.__qualname__} must define handle(self, job)"
            raise ConfigurationError(msg)
    elif not callable(target):
        msg = f"{shown(target)} is neither a function nor a class"
        raise ConfigurationError(msg)
    elif not hasattr(
        target, "__qualname__"
    ):  # a partial or a callable object: without a name or a place of its own
        msg = f"{shown(target)} is no function; decorate a function that calls it"
        raise ConfigurationError(msg)


def _decorate(definition: JobDefinition, rules: ScheduleRules | None, target: Any) -> Any:
    try:
        _check_target(target)
        made = Handler(definition, target)
    except ConfigurationError as error:
        raise placed(f"handler {definition.id!r}", error) from error
    made.rules = rules
    made.look_up(sys._getframe(1).f_locals)  # noqa: SLF001 - a local function's annotations name what is local
    _register(made)
    if made.is_class:
        target.handler = made
        return target
    return made


def _register(made: Handler) -> None:
    """Remember a handler. One that was made from the same place of source that runs again takes the former's place."""
    others = _registered.setdefault(made.definition.id, [])
    others[:] = [other for other in others if not made.replaces(other)]
    others.append(made)


def _check_runs(function: Any) -> None:
    """Raise for a generator function: calling one runs nothing, and its job would have succeeded unrun."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", repr(function))
        msg = f"{name} has a yield, so that calling it runs nothing; remove the yield"
        raise ConfigurationError(msg)


def handler_of(target: Any) -> Handler:
    """Return the handler behind a decorated function or class; raises `UnknownHandlerError` for others."""
    if isinstance(target, Handler):
        return target
    found = getattr(target, "handler", None)
    if (
        isinstance(found, Handler) and found.target is target
    ):  # a class derived from it is a handler of its own
        return found
    name = getattr(target, "__qualname__", None) or said(target)
    msg = (
        f'{name} is no handler; decorate it with @handler("SomeId"), or schedule by a JobDefinition("SomeId")'
    )
    raise UnknownHandlerError(msg)


def registered_handlers() -> list[Handler]:
    """Return every handler that was decorated in this process, also several of one definition id."""
    return [made for several in _registered.values() for made in several]


def _duplicate(first: Handler, second: Handler) -> DuplicateDefinitionError:
    return DuplicateDefinitionError(first.definition.id, first.place, second.place)


class Registry(Mapping[str, Handler]):
    """The handlers of one cluster by definition id."""

    def __init__(self, handlers: Iterable[Any], *, serving: bool = True) -> None:
        """Collect handlers.

        Of those that are to be served, raises `DuplicateDefinitionError` if two share an id, and `ConfigurationError`
        if the annotation of an argument cannot be resolved. A process that serves none goes by the first of an id.
        """
        self._handlers: dict[str, Handler] = {}
        for made in map(handler_of, handlers):
            other = self._handlers.setdefault(made.definition.id, made)
            if serving:
                if other is not made:
                    raise _duplicate(other, made)
                made.prepare()

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
