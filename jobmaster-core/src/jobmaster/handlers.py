"""`@handler`, the class form, and the registry that finds a handler by definition id."""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial, update_wrapper
from types import CodeType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    Unpack,
    overload,
)

from jobmaster._arguments.arguments import Arguments, Values, signature_of
from jobmaster._arguments.options import REQUEST, RULE_NAMES, Verb, check_options, misplaced
from jobmaster._process.places import placed
from jobmaster._text.showing import shown
from jobmaster.config import check_known
from jobmaster.context import JobContext
from jobmaster.data import MessageData
from jobmaster.definitions import (
    SETTING_NAMES,
    Data,
    DefinitionSettings,
    JobDefinition,
    JobRequest,
    Preset,
    RequestOptions,
    ScheduleOptions,
    Taken,
    call_options,
    merged,
    split_call,
)
from jobmaster.errors import ConfigurationError, DuplicateDefinitionError, UnknownHandlerError
from jobmaster.models import R_co
from jobmaster.recurrence import Cron, Interval, NaturalCron
from jobmaster.schedule_rules import RuleOptions, ScheduleRules, check_expression
from jobmaster.urls import said

if TYPE_CHECKING:
    # With a default, so that `Handler` alone stands for a handler with any parameters.
    from typing_extensions import ParamSpec as DefaultParamSpec

    P = DefaultParamSpec("P", default=...)
else:
    P = ParamSpec("P")

Args = ParamSpec("Args")
R = TypeVar("R")
C = TypeVar("C", bound="JobHandler")

HandlerFunction = Callable[..., Any]
Builder = Callable[[type[Any]], Any]


class HandlerOptions(ScheduleOptions, RequestOptions, RuleOptions, total=False):
    """The options of `with_options`: those of all scheduling calls."""


class HandlerSettings(DefinitionSettings, RuleOptions, total=False):
    """The settings of `@handler`."""

    every: str | timedelta | Interval | NaturalCron | Cron | None
    cron: str | Cron | None


# What the scheduling calls take. Their overloads distinguish the forms of a call: values by name in a mapping, then
# options; values for the parameters, as in a call of the function; and options alone, if no value is needed.


class TakesData(Protocol[R_co]):
    """A handler or definition to which a call passes values by name in a mapping."""

    def request(self, data: Data | None, /) -> JobRequest[R_co]:
        """Return a request for `once_many`."""
        ...


class TakesNothing(Protocol[R_co]):
    """A handler or definition that needs no values."""

    def request(self) -> JobRequest[R_co]:
        """Return a request for `once_many`."""
        ...


class AsyncClass(Protocol[Args, R_co]):
    """Instances of a class form whose `handle` is `async`."""

    def handle(
        self, job: JobContext, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> Coroutine[Any, Any, R_co]:
        """Run one attempt."""
        ...


class PlainClass(Protocol[Args, R_co]):
    """Instances of a class form whose `handle` runs in a thread."""

    def handle(self, job: JobContext, /, *args: Args.args, **kwargs: Args.kwargs) -> R_co:
        """Run one attempt."""
        ...


class ClassWithoutArguments(Protocol):
    """Instances of a class form whose `handle` needs nothing but the context."""

    def handle(self, job: JobContext, /) -> object:
        """Run one attempt."""
        ...


class _CalledWithout(Protocol[R_co]):
    def _call(self) -> JobRequest[R_co]: ...


class Schedulable(ABC, Generic[P, R_co]):
    """What a scheduling call takes: a `Handler`, or one `with_options`.

    `P` are the parameters of its function after the `JobContext`, `R_co` is what the job returns.
    """

    @overload
    def request(self, data: Data | None, /, **options: Unpack[RequestOptions]) -> JobRequest[R_co]: ...
    @overload
    def request(self, /, *args: P.args, **kwargs: P.kwargs) -> JobRequest[R_co]: ...
    @overload
    def request(self: _CalledWithout[R], /, **options: Unpack[RequestOptions]) -> JobRequest[R]: ...
    def request(self, /, *args: Any, **keywords: Any) -> JobRequest[Any]:
        """Return a request for `once_many`.

        Takes values and options as the scheduling calls do, and `at` (an aware datetime) or `after` (a delay).
        Raises `InvalidArgumentsError` for an option that is wrong.
        """
        return self.requested(args, keywords, REQUEST)

    def _call(self, /, *args: P.args, **kwargs: P.kwargs) -> JobRequest[R_co]:
        """Return the request of a call like one of the function; type checkers use it to find handlers without arguments."""
        return self.requested(args, kwargs, REQUEST)

    @abstractmethod
    def requested(self, args: Sequence[Any], keywords: Mapping[str, Any], verb: Verb) -> JobRequest[R_co]:
        """Return the request that a call of a verb makes; raises `InvalidArgumentsError` for a wrong option."""

    @abstractmethod
    def with_options(self, **options: Unpack[HandlerOptions]) -> HandlerWithOptions[P, R_co]:
        """Return this with options of a scheduling call, for a call that passes values to the parameters.

        `once_now(resize.with_options(priority="high"), url="cat.png")`. Later options replace earlier ones. Raises
        `InvalidArgumentsError` for an unknown or wrong option.
        """


class Handler(Schedulable[P, R_co]):
    """A function or class that runs jobs of one definition. Calling it calls the function itself.

    `P` are the function's parameters after the `JobContext`, `R_co` is what it returns, awaited.
    """

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
        """Identifies one execution of a module: a reload gives the module a new one."""
        parameters = list(signature_of(function).parameters.values())[1 if self.is_class else 0 :]
        own = _argument_parameters(parameters)
        where = f"handler {definition.id!r} ({self.where})"
        arguments = Arguments(definition.id, where, function, own, _context_name(parameters))
        self._arguments = arguments
        self.takes_arguments = bool(own)
        self.taken = Taken(
            definition.id, frozenset(arguments.names), arguments.by_position, arguments.takes_none
        )
        self.rules: ScheduleRules | None = None
        """When jobs of this handler recur, if its decorator sets it."""
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
        """Whether this is `other`, made again by source that runs again: a reloaded module, a notebook cell.

        A loop or a factory makes its handlers from the same code. Two places of a file that ran once are two handlers.
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

    if TYPE_CHECKING:

        def __call__(
            self, job: JobContext, /, *args: P.args, **kwargs: P.kwargs
        ) -> R_co | Coroutine[Any, Any, R_co]:
            """Call the function as if it were not decorated."""

    else:

        def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
            """Call the function as if it were not decorated."""
            return self.target(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<handler {self.definition.id!r} {self.where}>"

    def requested(self, args: Sequence[Any], keywords: Mapping[str, Any], verb: Verb) -> JobRequest[R_co]:
        """Return the request that a call of a verb makes; raises `InvalidArgumentsError` for a wrong option."""
        return JobRequest(self.definition, *split_call(self.taken, args, keywords, verb), self)

    def with_options(self, **options: Unpack[HandlerOptions]) -> HandlerWithOptions[P, R_co]:
        """Return this with options of a scheduling call, as `Schedulable.with_options` says."""
        return HandlerWithOptions(self, options)

    def look_up(self, surroundings: Mapping[str, Any]) -> None:
        """Resolve the arguments' annotations, also with the names around the handler; `prepare` tries again."""
        self._arguments.look_up(surroundings)

    def prepare(self) -> None:
        """Make sure that values can be checked and carried; raises `ConfigurationError`, which names the annotation."""
        self._arguments.prepare()

    def carry(self, values: Values) -> Values:
        """Return values in the form in which a job carries them.

        Raises `InvalidArgumentsError` unless they fit the handler's signature and annotations.
        """
        return self._arguments.carry(values) if self.takes_arguments else values

    def check(self, values: Values) -> None:
        """Raise `InvalidArgumentsError` unless `values` fit the handler's signature and annotations."""
        self.carry(values)

    def restore(self, data: MessageData) -> Mapping[str, Any]:
        """Return the arguments from a job's data, with the types that the annotations name."""
        return self._arguments.restore(data)

    def bind(self, build: Builder) -> Callable[[JobContext], Any]:
        """Return the function that runs one attempt, called with the context: a coroutine function or a plain one."""
        if self.is_class:
            return partial(_run_instance, self, build)
        if not self.takes_arguments:
            return self._function
        return self._run_restored if self._arguments.converts else self._run_with_data

    def _run_with_data(self, job: JobContext) -> Any:
        return self._function(job, **job.data)

    def _run_restored(self, job: JobContext) -> Any:
        return self._function(job, **self.restore(job.data))


class AsyncHandler(Handler[P, R_co]):
    """The handler of an `async` function."""

    if TYPE_CHECKING:

        def __call__(
            self, job: JobContext, /, *args: P.args, **kwargs: P.kwargs
        ) -> Coroutine[Any, Any, R_co]:
            """Call the function as if it were not decorated."""


class PlainHandler(Handler[P, R_co]):
    """The handler of a function that runs in a thread."""

    if TYPE_CHECKING:

        def __call__(self, job: JobContext, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Call the function as if it were not decorated."""


class HandlerWithOptions(Schedulable[P, R_co]):
    """A handler with options of a scheduling call, from `handler.with_options(...)`."""

    def __init__(self, handler: Handler[P, R_co], options: Mapping[str, Any]) -> None:
        """Check the options; raises `InvalidArgumentsError`."""
        definition_id = handler.definition.id
        check_options(definition_id, options)
        self.handler = handler
        self.options = dict(options)
        self._preset = Preset(self.options, call_options(definition_id, options))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={shown(value)}" for name, value in self.options.items())
        return f"{self.handler!r}.with_options({given})"

    def requested(self, args: Sequence[Any], keywords: Mapping[str, Any], verb: Verb) -> JobRequest[R_co]:
        """Return the request that a call of a verb makes; raises `InvalidArgumentsError` for an option of another verb."""
        definition_id = self.handler.definition.id
        for name, value in self.options.items():
            if name not in verb.options:
                raise misplaced(definition_id, name, value, verb)
        made = self.handler
        return JobRequest(made.definition, *split_call(made.taken, args, keywords, verb, self._preset), made)

    def with_options(self, **options: Unpack[HandlerOptions]) -> HandlerWithOptions[P, R_co]:
        """Return this with more options, as `Schedulable.with_options` says."""
        return HandlerWithOptions(self.handler, merged(self.options, options))


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
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            msg = f"parameter {parameter.name!r} must not be positional-only"
            raise ConfigurationError(msg)
    return arguments


def _context_name(parameters: Sequence[inspect.Parameter]) -> str | None:
    """Return the name of the context's parameter, if a value could be given by that name, too."""
    context, last = parameters[0], parameters[-1]
    both = context.kind is context.POSITIONAL_OR_KEYWORD and last.kind is last.VAR_KEYWORD
    return context.name if both else None


class JobHandler:
    """Base of the class form: an instance is built per attempt, its `handle` runs the job.

    Decorate the subclass with `@handler("id", …)`. A plug-in's `jobmaster_build_handler` hook, or
    `Cluster.build_handlers_with`, may pass services to its constructor.
    """

    handler: ClassVar[Handler]

    def handle(self, job: JobContext, /, *args: Any, **kwargs: Any) -> Any:
        """Run one attempt; may be `async`, and may take typed arguments after the context."""
        raise NotImplementedError

    @overload
    @classmethod
    def request(cls, data: Data | None, /, **options: Unpack[RequestOptions]) -> JobRequest[Any]: ...
    @overload
    @classmethod
    def request(
        cls: type[AsyncClass[Args, R]], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobRequest[R]: ...
    @overload
    @classmethod
    def request(
        cls: type[PlainClass[Args, R]], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobRequest[R]: ...
    @overload
    @classmethod
    def request(
        cls: type[ClassWithoutArguments], /, **options: Unpack[RequestOptions]
    ) -> JobRequest[Any]: ...
    @classmethod
    def request(cls, /, *args: Any, **keywords: Any) -> JobRequest[Any]:
        """Return a request for `once_many`, as `Handler.request` does."""
        return handler_of(cls).requested(args, keywords, REQUEST)

    @overload
    @classmethod
    def with_options(
        cls: type[AsyncClass[Args, R]], **options: Unpack[HandlerOptions]
    ) -> HandlerWithOptions[Args, R]: ...
    @overload
    @classmethod
    def with_options(
        cls: type[PlainClass[Args, R]], **options: Unpack[HandlerOptions]
    ) -> HandlerWithOptions[Args, R]: ...
    @classmethod
    def with_options(cls, **options: Unpack[HandlerOptions]) -> HandlerWithOptions[..., Any]:
        """Return the handler with options of a scheduling call, as `Handler.with_options` does."""
        return handler_of(cls).with_options(**options)


class _Decorator(Protocol):
    @overload
    def __call__(self, target: type[C], /) -> type[C]: ...  # type: ignore[overload-overlap]  # a class is callable, too
    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine is an object, too
        self, target: Callable[Concatenate[JobContext, Args], Coroutine[Any, Any, R]], /
    ) -> AsyncHandler[Args, R]: ...
    @overload
    def __call__(self, target: Callable[Concatenate[JobContext, Args], R], /) -> PlainHandler[Args, R]: ...
    # mypy considers that `**values` might contain the name of the context, and matches neither of the two before.
    @overload
    def __call__(  # type: ignore[overload-cannot-match, overload-overlap]
        self, target: Callable[Concatenate[JobContext, ...], Coroutine[Any, Any, R]], /
    ) -> AsyncHandler[..., R]: ...
    @overload
    def __call__(  # type: ignore[overload-cannot-match]
        self, target: Callable[Concatenate[JobContext, ...], R], /
    ) -> PlainHandler[..., R]: ...


_WHEN = frozenset({"every", "cron"})
_RULES = RULE_NAMES - {"kind"}

_registered: dict[str, list[Handler]] = {}
"""The decorated handlers of this process by definition id; several with one id are a conflict."""


def handler(definition_id: str, /, **settings: Unpack[HandlerSettings]) -> _Decorator:
    """Make a function or a `JobHandler` subclass the handler of a definition.

    Args:
        definition_id: the id that jobs refer to; unique in a cluster, and stable across releases.
        settings: as for `JobDefinition`: timeout, max_retries, priority, lane, metadata, retry. With
            `every` (words such as "daily at 18:00", also without "every" before them as in "1 hour"; a `timedelta`; an
            object of any kind, such as `Interval("90s")`) or `cron` (such as "0 18 * * *") its jobs
            recur, as a static schedule of the definition's name; then also `time_zone`, `starts_after`,
            `ends_before`, `overlap` and `misfire`, as for `scheduler.recurring`.

    Returns:
        A `Handler` for a function, which can still be called; for a class, the class itself.

    Raises:
        ConfigurationError: a setting or the signature is wrong; the message names it.

    """
    if not isinstance(definition_id, str):
        msg = f'write @handler("SomeId"), with the definition id in parentheses (got {shown(definition_id)})'
        raise ConfigurationError(msg)
    try:
        rules = _recurs(settings)
        asked: Any = {name: value for name, value in settings.items() if name not in _WHEN | _RULES}
        check_known("", asked, {*SETTING_NAMES, *_WHEN, *_RULES})
    except ConfigurationError as error:
        raise placed(f"handler {shown(definition_id)}", error) from error
    return partial(_decorate, JobDefinition(definition_id, **asked), rules)


def _recurs(settings: Mapping[str, Any]) -> ScheduleRules | None:
    """Return when jobs recur, if a decorator's settings contain it."""
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
    """Raise `ConfigurationError` for a target that cannot be a handler."""
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
    elif not hasattr(target, "__qualname__"):  # a partial or a callable object: it has no name or place
        msg = f"{shown(target)} is not a function; decorate a function that calls it"
        raise ConfigurationError(msg)


def _decorate(definition: JobDefinition, rules: ScheduleRules | None, target: Any) -> Any:
    try:
        _check_target(target)
        made = _kind_of(target)(definition, target)
    except ConfigurationError as error:
        raise placed(f"handler {definition.id!r}", error) from error
    made.rules = rules
    made.look_up(sys._getframe(1).f_locals)  # noqa: SLF001 - a local function's annotations may use local names
    _register(made)
    if made.is_class:
        target.handler = made
        return target
    return made


def _kind_of(target: Any) -> type[Handler]:
    if inspect.isclass(target):
        return Handler
    return AsyncHandler if inspect.iscoroutinefunction(target) else PlainHandler


def _register(made: Handler) -> None:
    """Remember a handler. It replaces a former one that the same place in re-executed source made."""
    others = _registered.setdefault(made.definition.id, [])
    others[:] = [other for other in others if not made.replaces(other)]
    others.append(made)


def _check_runs(function: Any) -> None:
    """Raise for a generator function: calling one runs nothing, and its job would succeed without having run."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", repr(function))
        msg = f"{name} has a yield, so calling it runs nothing; remove the yield"
        raise ConfigurationError(msg)


def handler_of(target: Any) -> Handler:
    """Return the handler behind a decorated function or class; raises `UnknownHandlerError` for others."""
    if isinstance(target, Handler):
        return target
    found = getattr(target, "handler", None)
    if isinstance(found, Handler) and found.target is target:  # a class derived from it is not this handler
        return found
    if isinstance(target, HandlerWithOptions):
        raise UnknownHandlerError(f"{target!r} is a handler with options of a call; give the handler itself")
    name = getattr(target, "__qualname__", None) or said(target)
    msg = f'{name} is not a handler; decorate it with @handler("SomeId"), or schedule by a JobDefinition("SomeId")'
    raise UnknownHandlerError(msg)


Target: TypeAlias = JobDefinition | Schedulable[..., Any]


def target_of(given: Any) -> Target:
    """Return the target of a scheduling call, for a class its handler; raises `UnknownHandlerError` for others."""
    return given if isinstance(given, JobDefinition | Schedulable) else handler_of(given)


def registered_handlers() -> list[Handler]:
    """Return every handler that was decorated in this process, also several with one definition id."""
    return [made for several in _registered.values() for made in several]


def _duplicate(first: Handler, second: Handler) -> DuplicateDefinitionError:
    return DuplicateDefinitionError(first.definition.id, first.place, second.place)


class Registry(Mapping[str, Handler]):
    """The handlers of one cluster by definition id."""

    def __init__(self, handlers: Iterable[Any], *, serving: bool = True) -> None:
        """Collect handlers.

        If they are to be served, raises `DuplicateDefinitionError` if two share an id, and `ConfigurationError` if the
        annotation of an argument cannot be resolved. A process that serves none uses the first handler of an id.
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
