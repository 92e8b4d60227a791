"""The types that an argument's annotation may name: those that message data holds, and those that are made from them."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs

SCALARS: Final[frozenset[type]] = frozenset(
    {str, int, float, bool, bytes, type(None), datetime, date, timedelta}
)
CARRIED: Final[tuple[type, ...]] = (*SCALARS, UUID, Decimal, list, dict, tuple)
"""Types that message data holds directly."""
LISTS: Final = frozenset({list, abc.MutableSequence})
SEQUENCES: Final = frozenset({abc.Sequence, abc.Collection, abc.Iterable, abc.Container, abc.Reversible})
SETS: Final = frozenset({set, frozenset, abc.Set, abc.MutableSet})
MAPPINGS: Final = frozenset({dict, abc.Mapping, abc.MutableMapping})
TEXTS: Final[Mapping[type, Callable[[str], Any]]] = {
    UUID: UUID,
    Decimal: Decimal,
    Fraction: Fraction,
    time: time.fromisoformat,
    ZoneInfo: ZoneInfo,
    **{kind: kind for kind in (IPv4Address, IPv6Address, IPv4Network, IPv6Network)},
}
"""Types that are carried as text, and how the text is read."""


class UnsupportedTypeError(TypeError):
    """A job cannot carry values of a type."""


def bare(wanted: Any) -> Any:
    """Return the type behind aliases, `NewType`, `Annotated` and type variables."""
    while True:
        if get_origin(wanted) in _WRAPPERS:
            wanted = get_args(wanted)[0]
        elif isinstance(wanted, typing.NewType):
            wanted = wanted.__supertype__
        elif isinstance(wanted, TypeVar):
            among = wanted.__constraints__
            wanted = Union[among] if among else wanted.__bound__ or Any  # noqa: UP007 - of any number of types
        elif type(wanted).__name__ == "TypeAliasType":
            wanted = wanted.__value__
        else:
            return wanted


_WRAPPERS: Final = frozenset({typing.Annotated, typing.Required, typing.NotRequired, typing.Final})


def is_carried(wanted: Any, outer: tuple[Any, ...] = ()) -> bool:
    """Whether message data returns values of a type unchanged, so that they only need to be checked."""
    wanted = bare(wanted)
    if wanted in (Any, object, None) or wanted in outer or (is_type(wanted) and wanted in SCALARS):
        return True
    if is_typed_dict(wanted):
        return all(is_carried(one, (*outer, wanted)) for one in hints(wanted).values())
    origin, inner = get_origin(wanted) or wanted, get_args(wanted)
    if origin is Literal:
        return not any(isinstance(option, Enum) for option in inner)
    if is_union(wanted) or origin in LISTS | SEQUENCES | MAPPINGS:
        return all(is_carried(one, outer) for one in inner)
    return not _is_converted(origin) and _may_be_carried(origin)


def _is_converted(kind: Any) -> bool:
    return is_type(kind) and (
        kind in TEXTS
        or kind is tuple
        or kind in SETS
        or is_named_tuple(kind)
        or is_model(kind)
        or issubclass(kind, Enum | PurePath)
        or field_names(kind) is not None
    )


def _may_be_carried(kind: Any) -> bool:
    """Whether a protocol or an abstract class may have a carried type as a subclass."""
    try:
        return any(issubclass(one, kind) for one in CARRIED)
    except TypeError:  # for example a protocol with attributes: its values are checked when they are given
        return getattr(kind, "_is_protocol", False)


def check_supported(wanted: Any, outer: tuple[Any, ...] = ()) -> None:
    """Raise `UnsupportedTypeError` for a type that a job cannot carry, and `NameError` for one that is not found."""
    wanted = bare(wanted)
    if wanted in outer or is_carried(wanted) or get_origin(wanted) is Literal:
        return
    origin = get_origin(wanted) or wanted
    if is_type(origin) and (fields := _field_types(origin)) is not None:
        inner: Iterable[Any] = fields
    elif is_union(wanted) or origin is tuple or origin in LISTS | SEQUENCES | SETS | MAPPINGS:
        inner = [one for one in get_args(wanted) if one is not Ellipsis]
    elif _is_converted(origin):
        inner = ()
    else:
        raise UnsupportedTypeError(inspect.formatannotation(wanted))
    if origin in MAPPINGS and get_args(wanted) and not _is_text(get_args(wanted)[0]):
        raise UnsupportedTypeError(f"{inspect.formatannotation(wanted)}, whose keys are not strings")
    for one in inner:
        check_supported(one, (*outer, wanted))


def _is_text(wanted: Any) -> bool:
    wanted = bare(wanted)
    return wanted in (str, Any, object) or (
        get_origin(wanted) is Literal and all(isinstance(option, str) for option in get_args(wanted))
    )


def _field_types(kind: type) -> list[Any] | None:
    if is_typed_dict(kind) or is_named_tuple(kind):
        return list(hints(kind).values())
    names = field_names(kind)
    if names is None:
        return None
    return [hints(kind).get(name, Any) for name in names]


@cache
def hints(kind: type) -> Mapping[str, Any]:
    """Return the annotations of a class, looked up."""
    return get_type_hints(kind, include_extras=True)


def is_type(wanted: Any) -> bool:
    """Whether something is a class, but not a parametrized generic."""
    return isinstance(wanted, type) and not isinstance(wanted, types.GenericAlias)


def is_union(wanted: Any) -> bool:
    """Whether something is a union of types."""
    return get_origin(wanted) in (Union, types.UnionType)


def is_typed_dict(wanted: Any) -> bool:
    """Whether a type is a `TypedDict`."""
    return typing.is_typeddict(wanted)


def is_named_tuple(kind: Any) -> bool:
    """Whether a type is a `NamedTuple`."""
    return is_type(kind) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def is_model(kind: Any) -> bool:
    """Whether a type is a pydantic model; told by its methods, without importing pydantic."""
    return is_type(kind) and hasattr(kind, "model_validate") and hasattr(kind, "model_dump")


def field_names(kind: type) -> list[str] | None:
    """Return the names of a data class's fields that its constructor takes; None for another type."""
    if not isinstance(kind, type):
        return None
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind) if field.init]
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.init]
    return None
