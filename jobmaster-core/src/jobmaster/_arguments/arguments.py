"""The parameters of a handler after its context: checked when a job is scheduled, restored when it runs."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from jobmaster._arguments.annotations import UnsupportedTypeError, bare, check_supported, is_carried
from jobmaster._arguments.conversion import MisfitError, checked, prepared, restored
from jobmaster.data import MessageData
from jobmaster.errors import ConfigurationError, InvalidArgumentsError

_EXACT: Final = frozenset({str, int, float, bool, bytes})
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_REST = inspect.Parameter.VAR_KEYWORD

Values = Mapping[str, Any] | MessageData


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return a signature whose annotations may name things that do not exist yet."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


@define(eq=False)
class Argument:
    """How the value of one parameter is checked, carried and restored."""

    wanted: Any
    convert: bool
    """Whether values have to be restored because message data holds them in another form."""
    exact: type | None
    """A type whose values fit without a further check, if there is one."""

    def carry(self, value: Any) -> Any:
        """Return the form in which a job carries a value; raises `MisfitError`."""
        return prepared(value, self.wanted) if self.convert else checked(value, self.wanted)

    def restore(self, value: Any) -> Any:
        """Return a value as the handler wants it; raises `MisfitError`."""
        return restored(value, self.wanted)


@define(eq=False)
class Arguments:
    """The arguments of one handler. `where` names the handler in errors, and `definition_id` its jobs.

    Annotations are resolved one by one, so that those of the context and of the return value are never needed. An
    annotation may name something that the module defines later: it is resolved when the handler is declared, and again
    by `prepare`, which a cluster calls when it starts.
    """

    definition_id: str
    where: str
    function: Callable[..., Any]
    parameters: Sequence[inspect.Parameter]
    context: str | None = None
    """The name of the context's parameter, if a value could be given by that name too (with `**values`)."""
    _found: dict[str, Any] = field(factory=dict, init=False)
    _by_name: dict[str, Argument | None] | None = field(default=None, init=False)
    _others: Argument | None = field(default=None, init=False)
    _converted: bool = field(default=False, init=False)
    _signature: inspect.Signature = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Build what depends on the fields."""
        keyword_only = [p if p.kind is _REST else p.replace(kind=_KEYWORD) for p in self.parameters]
        self._signature = inspect.Signature(keyword_only)

    @property
    def names(self) -> list[str]:
        """The names of the arguments, without those that a `**` parameter takes."""
        return [parameter.name for parameter in self.parameters if parameter.kind is not _REST]

    @property
    def converts(self) -> bool:
        """Whether a job carries some argument in another form; raises as `prepare`."""
        self.prepare()
        return self._converted

    @property
    def by_position(self) -> list[str]:
        """The names of the arguments that can be given by position, in order."""
        return [p.name for p in self.parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]

    def takes_none(self) -> bool:
        """Whether None is a valid value of the first argument, and differs from leaving it out."""
        return self._first_takes(None) and self.parameters[0].default is not None

    def _first_takes(self, value: Any) -> bool:
        """Whether a value fits the first argument that can be given by position."""
        self.prepare()
        first = next(iter(self.parameters), None)
        if first is None or first.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            return False
        argument = self._of(first.name)
        try:
            return argument is None or argument.carry(value) is value
        except (MisfitError, LookupError):
            return False

    # Looking up

    def look_up(self, surroundings: Mapping[str, Any]) -> None:
        """Resolve the annotations where the handler is declared; leave names that do not exist yet for later."""
        for parameter in self.parameters:
            try:
                self._found[parameter.name] = _resolved(self.function, parameter.annotation, surroundings)
            except Exception:  # noqa: BLE001, S112 - any error is reported later, if it persists
                continue

    def prepare(self) -> None:
        """Determine how to treat each argument; raises `ConfigurationError` for an unsupported annotation."""
        if self._by_name is None:
            made = {parameter.name: self._argument(parameter) for parameter in self.parameters}
            rest = next((p.name for p in self.parameters if p.kind is _REST), None)
            self._others = made.pop(rest) if rest else None
            self._converted = any(one is not None and one.convert for one in (*made.values(), self._others))
            self._by_name = made

    def _argument(self, parameter: inspect.Parameter) -> Argument | None:
        """Return how to treat a parameter; None if it takes anything."""
        wanted = bare(self._annotation(parameter))
        if wanted in (Any, object) or typing.get_origin(wanted) is typing.Unpack:
            return None
        try:
            check_supported(wanted)
        except UnsupportedTypeError as error:
            if parameter.default is inspect.Parameter.empty and parameter.kind is not _REST:
                raise self._unsupported(parameter, error) from None
            return Argument(wanted, convert=False, exact=None)  # its jobs do not carry it
        except Exception as error:
            raise self._unresolved(parameter, error) from error
        exact = wanted if isinstance(wanted, type) and wanted in _EXACT else None
        return Argument(wanted, convert=not is_carried(wanted), exact=exact)

    def _annotation(self, parameter: inspect.Parameter) -> Any:
        try:
            return self._found[parameter.name]
        except KeyError:
            pass
        try:
            return _resolved(self.function, parameter.annotation, {})
        except Exception as error:
            raise self._unresolved(parameter, error) from error

    def _unresolved(self, parameter: inspect.Parameter, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"{self.where}: the annotation of {parameter.name!r} cannot be resolved: {error}; "
            "it is used to check values, so import its names at run time, not only under TYPE_CHECKING"
        )

    def _unsupported(self, parameter: inspect.Parameter, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"{self.where}: {parameter.name!r} is annotated with {error}, which a job cannot carry; use a supported "
            "type (docs/reference/data.md lists them), or give the argument a default if jobs do not set it"
        )

    # Using

    def carry(self, values: Values) -> Values:
        """Return the values that a job carries; raises `InvalidArgumentsError` unless they fit the signature."""
        self.prepare()
        self._bind(values)
        if isinstance(values, MessageData):
            return self._carried_again(values)
        changed: dict[str, Any] = {}
        for name, value in values.items():
            argument = self._of(name)
            if argument is not None and type(value) is not argument.exact:
                taken = self._fitted(argument.carry, name, value)
                if taken is not value:
                    changed[name] = taken
        return {**values, **changed} if changed else values

    def _of(self, name: str) -> Argument | None:
        return self._by_name.get(name, self._others)  # type: ignore[union-attr]  # only asked once prepared

    def _carried_again(self, data: MessageData) -> Values:
        """Return encoded data if it fits; values that need conversion are converted anew, as they may be written by hand."""
        stored = data.as_stored()
        for name in stored:
            argument = self._of(name)
            if argument is not None:
                given = stored[name] if argument.convert else data[name]
                stored[name] = self._fitted(argument.carry, name, given)
        return stored if self._converted else data

    def _bind(self, values: Values) -> None:
        if self.context is not None and self.context in values:
            msg = f"{self.context}: {self.definition_id!r} has its JobContext under this name; give the value another name"
            raise InvalidArgumentsError(msg)
        try:
            self._signature.bind(**dict.fromkeys(values))
        except TypeError as error:
            wanted = ", ".join(str(parameter) for parameter in self._signature.parameters.values())
            msg = f"arguments of {self.definition_id!r}: {error}; it takes ({wanted})"
            if self._first_takes(values):
                name = self.parameters[0].name
                msg = f"{msg}; a single mapping holds values by name, so write {name}=... to pass one to {name!r}"
            raise InvalidArgumentsError(msg) from error

    def restore(self, data: MessageData) -> Mapping[str, Any]:
        """Return the values of a job as the handler wants them; raises `InvalidArgumentsError` for one that does not fit."""
        return self._restored(data) if self.converts else data

    def _restored(self, data: MessageData) -> Mapping[str, Any]:
        values = data.as_stored()
        for name in values:
            argument = self._of(name)
            if argument is not None and argument.convert:
                values[name] = self._fitted(argument.restore, name, values[name])
            else:
                values[name] = data[name]
        return values

    def _fitted(self, change: Callable[[Any], Any], name: str, value: Any) -> Any:
        try:
            return change(value)
        except (MisfitError, LookupError) as error:
            msg = f"argument {name!r} of {self.definition_id!r}: {error}"
            raise InvalidArgumentsError(msg) from error


def _resolved(function: Callable[..., Any], annotation: Any, surroundings: Mapping[str, Any]) -> Any:
    """Return what an annotation names; raises any error of the lookup."""
    if annotation is inspect.Parameter.empty:
        return Any

    def alone() -> None: ...

    alone.__annotations__ = {"it": annotation}
    behind = inspect.unwrap(function)
    own = {parameter.__name__: parameter for parameter in getattr(behind, "__type_params__", ())}
    found = typing.get_type_hints(
        alone, getattr(behind, "__globals__", {}), {**surroundings, **own}, include_extras=True
    )
    return found["it"]
