"""Converting values of annotated types to what a job can carry, and back.

Values that message data holds directly (see `jobmaster.data`) are checked and left unchanged. Everything else is
structured by cattrs, strictly: a value is of the type, or has the carried form of the type, or is refused.

=======================================  ===================================================================
enum                                     a member, its value or its name
`UUID`, `Decimal`, `Path`, `time`, …     such a value, or its text
attrs class, dataclass, pydantic model   an instance of just that class, or a mapping of its fields
`NamedTuple`                             an instance, a tuple or a list; or a mapping of its fields
`TypedDict`                              a mapping with its keys
`set`, `frozenset`, `tuple`              such a collection, or a list
`list`, `dict`, `Sequence`, `Mapping`    such a collection, of any of these types
unions                                   a value of one of these types
=======================================  ===================================================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import time, timezone
from decimal import Decimal
from enum import Enum, Flag
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final, Literal, get_args, get_origin
from uuid import UUID

from attrs import frozen
from cattrs import Converter
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from jobmaster._arguments.annotations import (
    LISTS,
    MAPPINGS,
    SCALARS,
    SEQUENCES,
    SETS,
    TEXTS,
    bare,
    field_names,
    hints,
    is_carried,
    is_model,
    is_named_tuple,
    is_type,
    is_typed_dict,
    is_union,
)
from jobmaster._process.enums import EnumMember, LoadedEnums
from jobmaster._text.showing import shown

Read = Callable[[Any, Any], Any]
"""Returns a value of a type, from what a job carries or from a value of the type; raises `MisfitError`."""
Write = Callable[[Any, Any], Any]
"""Returns the form in which a job carries a value of a type."""


class MisfitError(ValueError):
    """A value does not fit a type; `path` says where within it."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason, self.path = reason, path


def checked(value: Any, wanted: Any) -> Any:
    """Return a value that message data holds directly if it is of the type; raises `MisfitError`."""
    if _is_plain_list(value, wanted):
        return value
    if isinstance(value, Enum) and wanted in (str, int, float) and isinstance(value, wanted):
        return value.value
    import typeguard  # takes long, and most processes check nothing

    try:
        typeguard.check_type(
            value, wanted, collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS
        )
    except typeguard.TypeCheckError as error:
        raise MisfitError(str(error)) from None
    return value


def _is_plain_list(value: Any, wanted: Any) -> bool:
    """Whether a list needs no further check: a full check takes a microsecond per item."""
    if type(value) is not list or get_origin(wanted) is not list:
        return False
    item = get_args(wanted)[0]
    return item in SCALARS and all(type(one) is item for one in value)


def restored(value: Any, wanted: Any) -> Any:
    """Return a value of the wanted type; raises `MisfitError`.

    The value given is one that message data holds, or one of the type itself.
    """
    with _misfits():
        return _read(value, wanted)


def prepared(value: Any, wanted: Any) -> Any:
    """Return the form in which message data holds a value of the wanted type; raises `MisfitError`."""
    with _misfits():
        return _write(_read(value, wanted), wanted)


def _read(value: Any, wanted: Any) -> Any:
    wanted = bare(wanted)
    return _kind_of(wanted).read(value, wanted)


def _write(value: Any, wanted: Any) -> Any:
    wanted = bare(wanted)
    return _kind_of(wanted).write(value, wanted)


# Saying what does not fit


@contextmanager
def _misfits() -> Iterator[None]:
    """Within the block, turn every error into a `MisfitError`."""
    try:
        yield
    except RecursionError:
        raise MisfitError("it is nested too deep, or contains itself") from None
    except Exception as error:
        within = error.path if isinstance(error, MisfitError) else ""
        raise MisfitError(f"{_said(error)} @ value{within}" if within else _said(error)) from error


def _said(error: Exception) -> str:
    """Return in words what does not fit; the reason may be any error of a constructor."""
    if isinstance(error, MisfitError):
        return error.reason
    if isinstance(error, ForbiddenExtraKeysError):
        return f"{error.cl.__qualname__} has no field {', '.join(map(repr, sorted(map(str, error.extra_fields))))}"
    if isinstance(error, KeyError):
        return f"a value for {error.args[0]!r} is missing"
    return str(error) or type(error).__name__


def _no(value: Any, wanted: Any) -> MisfitError:
    return MisfitError(f"{type(value).__name__} is not an instance of {inspect.formatannotation(wanted)}")


def _other_class(value: Any, kind: type) -> MisfitError:
    given = type(value).__qualname__
    return MisfitError(f"{given} would come back as {kind.__qualname__}; pass one, or annotate with {given}")


# What message data holds


def _read_carried(value: Any, wanted: Any) -> Any:
    return checked(_found(value, LoadedEnums()), wanted)


def _found(value: Any, enums: LoadedEnums) -> Any:
    """Return a value with its enum members resolved, where no annotation names their class."""
    if isinstance(value, EnumMember):
        return enums.member(value, value.name)
    if type(value) in (list, tuple):
        return type(value)(_found(item, enums) for item in value)
    if type(value) is dict:
        return {name: _found(item, enums) for name, item in value.items()}
    return value


def _write_as_it_is(value: Any, _: Any) -> Any:
    return value


# Enums and texts


def _read_enum(value: Any, wanted: type[Enum]) -> Enum:
    if isinstance(value, wanted):
        return value
    if isinstance(value, EnumMember):
        found = wanted.__members__.get(value.name)
    elif isinstance(value, Enum):
        raise _no(value, wanted)
    else:
        found = _member_for(value, wanted)
    if found is None:
        shown = f"{value.path}.{value.name}" if isinstance(value, EnumMember) else repr(value)
        raise MisfitError(
            f"{shown} is not a {wanted.__qualname__}; use one of {', '.join(wanted.__members__)}"
        )
    return found


def _member_for(value: Any, wanted: type[Enum]) -> Enum | None:
    """Return the member with a value, or else with a name, or a combination of flags."""
    for member in wanted:
        if type(member.value) is type(value) and member.value == value:
            return member
    if type(value) is str:
        return wanted.__members__.get(value)
    return wanted(value) if type(value) is int and issubclass(wanted, Flag) else None


def _write_enum(member: Enum, _: Any) -> Any:
    """Return a member by its name; a combination of flags has none, and is written as a number."""
    return EnumMember.of(member) if member.name in type(member).__members__ else member.value


def _read_literal(value: Any, wanted: Any) -> Any:
    for option in get_args(wanted):
        if isinstance(value, EnumMember) and isinstance(option, Enum) and option.name == value.name:
            return option
        if type(option) is type(value) and option == value:
            return option
    raise MisfitError(f"{shown(value)} is not one of {', '.join(map(repr, get_args(wanted)))}")


def _write_literal(value: Any, _: Any) -> Any:
    return _write_enum(value, _) if isinstance(value, Enum) else value


def _read_text(value: Any, wanted: type) -> Any:
    if isinstance(value, wanted):
        return value
    if wanted is Decimal and type(value) is int:
        return Decimal(value)
    if type(value) is not str:
        raise _no(value, wanted)
    try:
        return TEXTS[wanted](value) if wanted in TEXTS else wanted(value)
    except (ValueError, ArithmeticError, LookupError, OSError):
        raise MisfitError(f"{shown(value)} is not a valid {wanted.__name__}") from None


def _write_text(value: Any, _: Any) -> Any:
    return str(value)


def _write_time(value: Any, _: Any) -> str:
    if value.tzinfo is not None and not isinstance(value.tzinfo, timezone):
        msg = f"{shown(value)} has a zone whose offset depends on the day; use a fixed offset, or pass the zone beside it"
        raise MisfitError(msg)
    return str(value.isoformat())


# Collections


def _item(value: Any, wanted: Any, path: str) -> Any:
    """Return a part of a value converted to its type; `path` names the part in errors."""
    try:
        return _read(value, wanted)
    except RecursionError:
        raise
    except Exception as error:
        within = error.path if isinstance(error, MisfitError) else ""
        raise MisfitError(_said(error), path + within) from error


def _items(values: Iterable[Any], wanted: Any) -> list[Any]:
    return [_item(value, wanted, f"[{index}]") for index, value in enumerate(values)]


def _of(wanted: Any) -> Any:
    """Return the type of a collection's items."""
    return (*get_args(wanted), Any)[0]


def _read_list(value: Any, wanted: Any) -> Any:
    if type(value) is not list and (get_origin(wanted) in LISTS or type(value) is not tuple):
        raise _no(value, wanted)
    return type(value)(_items(value, _of(wanted)))


def _write_list(value: Any, wanted: Any) -> Any:
    return type(value)(_write(item, _of(wanted)) for item in value)


def _read_set(value: Any, wanted: Any) -> Any:
    if not isinstance(value, set | frozenset | list | tuple):
        raise _no(value, wanted)
    kind = frozenset if (get_origin(wanted) or wanted) is frozenset else set
    return kind(_items(value, _of(wanted)))


def _write_set(value: Any, wanted: Any) -> Any:
    return [_write(item, _of(wanted)) for item in value]


def _read_tuple(value: Any, wanted: Any) -> Any:
    if type(value) not in (list, tuple):
        raise _no(value, wanted)
    if len(value) != len(inner := _places(wanted, len(value))):
        raise MisfitError(
            f"it has {len(value)} items, where {inspect.formatannotation(wanted)} has {len(inner)}"
        )
    return tuple(_item(item, one, f"[{n}]") for n, (item, one) in enumerate(zip(value, inner, strict=True)))


def _write_tuple(value: Any, wanted: Any) -> Any:
    return tuple(_write(item, one) for item, one in zip(value, _places(wanted, len(value)), strict=True))


def _places(wanted: Any, count: int) -> Sequence[Any]:
    """Return the types of a tuple's items."""
    inner = get_args(wanted) or ((Any, ...) if wanted is tuple else ())
    return (inner[0],) * count if inner[1:] == (...,) else inner


def _read_mapping(value: Any, wanted: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _no(value, wanted)
    names, items = get_args(wanted)
    return {_item(n, names, f"[{n!r}]"): _item(v, items, f"[{n!r}]") for n, v in value.items()}


def _write_mapping(value: Any, wanted: Any) -> Any:
    return {name: _write(item, get_args(wanted)[1]) for name, item in value.items()}


# Classes with fields


def _read_named_tuple(value: Any, wanted: Any) -> Any:
    names = wanted._fields
    if type(value) in (list, tuple, wanted) and len(value) <= len(names):
        value = dict(zip(names, value, strict=False))
    if not isinstance(value, Mapping) or not set(value) <= set(names):
        raise _no(value, wanted)
    return wanted(
        **{name: _item(one, hints(wanted).get(name, Any), f".{name}") for name, one in value.items()}
    )


def _write_named_tuple(value: Any, wanted: Any) -> Any:
    types = (hints(wanted).get(name, Any) for name in wanted._fields)
    return tuple(_write(item, one) for item, one in zip(value, types, strict=True))


def _read_typed_dict(value: Any, wanted: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _no(value, wanted)
    known = hints(wanted)
    if wrong := (wanted.__required_keys__ - value.keys()) | (value.keys() - known.keys()):
        raise MisfitError(f"{min(map(str, wrong))!r} is missing, or is not a key of {wanted.__qualname__}")
    return {name: _item(one, known[name], f"[{name!r}]") for name, one in value.items()}


def _write_typed_dict(value: Any, wanted: Any) -> Any:
    return {name: _write(one, hints(wanted)[name]) for name, one in value.items()}


def _read_data_class(value: Any, wanted: Any) -> Any:
    kind = get_origin(wanted) or wanted
    if isinstance(value, kind):
        if type(value) is not kind:
            raise _other_class(value, kind)
        value = {name: getattr(value, name) for name in field_names(kind) or ()}
    elif not isinstance(value, Mapping):
        raise _no(value, wanted)
    return _from_mapping(wanted)(value, wanted)


@lru_cache(maxsize=1024)
def _from_mapping(wanted: Any) -> Read:
    """Return how instances of a class are made. Each field is read by this module: cattrs alone would be less strict."""
    settings: dict[str, Any] = {"_cattrs_forbid_extra_keys": True, "_cattrs_detailed_validation": False}
    for name in field_names(get_origin(wanted) or wanted) or ():
        settings[name] = override(struct_hook=_field(name))
    return make_dict_structure_fn(wanted, _CONVERTER, **settings)


def _field(name: str) -> Read:
    return lambda value, wanted: _item(value, wanted, f".{name}")


def _write_data_class(value: Any, wanted: Any) -> Any:
    known = hints(get_origin(wanted) or wanted)
    names = field_names(type(value)) or ()
    return {name: _write(getattr(value, name), known.get(name, Any)) for name in names}


def _read_model(value: Any, wanted: Any) -> Any:
    if isinstance(value, wanted):
        if type(value) is not wanted:
            raise _other_class(value, wanted)
        return value
    if not isinstance(value, Mapping):
        raise _no(value, wanted)
    return wanted.model_validate(_found(dict(value), LoadedEnums()))


def _write_model(value: Any, _: Any) -> Any:
    return value.model_dump(mode="json")


# Unions


def _read_union(value: Any, wanted: Any) -> Any:
    """Return a value of one of several types; raises if it would come back as another of them."""
    found, member = _first_fit(value, wanted)
    if not is_carried(member) and type(again := _first_fit(_write(found, member), wanted)[0]) is not type(
        found
    ):
        msg = f"{type(found).__qualname__} would come back as {type(again).__qualname__} from"
        raise MisfitError(f"{msg} {inspect.formatannotation(wanted)}; annotate with one of the types")
    return found


def _write_union(value: Any, wanted: Any) -> Any:
    return _write(value, _first_fit(value, wanted)[1])


def _first_fit(value: Any, wanted: Any) -> tuple[Any, Any]:
    """Return a value read as the union member it is an instance of, or else as the first that takes it; and that member."""
    for member in sorted(get_args(wanted), key=lambda one: not _is_of(value, bare(one))):
        try:
            return _read(value, member), member
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001, S112 - after any error of a constructor, the next type is tried
            continue
    raise _no(value, wanted)


def _is_of(value: Any, member: Any) -> bool:
    if isinstance(value, EnumMember):
        return is_type(member) and issubclass(member, Enum)
    return type(value) is (get_origin(member) or member)


# All of them


@frozen
class _Kind:
    """Types of one kind, and how their values are read from what a job carries and written to it."""

    fits: Callable[[Any], bool]
    read: Read
    write: Write


def _among(kinds: frozenset[Any]) -> Callable[[Any], bool]:
    return lambda wanted: (get_origin(wanted) or wanted) in kinds


def _derives(kind: type) -> Callable[[Any], bool]:
    return lambda wanted: is_type(wanted) and issubclass(wanted, kind)


_KINDS: Final = (
    _Kind(is_carried, _read_carried, _write_as_it_is),
    _Kind(is_union, _read_union, _write_union),
    _Kind(lambda wanted: get_origin(wanted) is Literal, _read_literal, _write_literal),
    _Kind(_derives(Enum), _read_enum, _write_enum),
    _Kind(_among(frozenset({time})), _read_text, _write_time),
    _Kind(_among(frozenset({UUID, Decimal})), _read_text, _write_as_it_is),
    _Kind(_among(frozenset(TEXTS)), _read_text, _write_text),
    _Kind(_derives(PurePath), _read_text, _write_text),
    _Kind(is_model, _read_model, _write_model),
    _Kind(
        lambda wanted: field_names(get_origin(wanted) or wanted) is not None,
        _read_data_class,
        _write_data_class,
    ),
    _Kind(is_typed_dict, _read_typed_dict, _write_typed_dict),
    _Kind(is_named_tuple, _read_named_tuple, _write_named_tuple),
    _Kind(_among(frozenset({tuple})), _read_tuple, _write_tuple),
    _Kind(_among(SETS), _read_set, _write_set),
    _Kind(_among(MAPPINGS), _read_mapping, _write_mapping),
    _Kind(_among(LISTS | SEQUENCES), _read_list, _write_list),
)
"""The kinds of types; the first that fits is used."""


@lru_cache(maxsize=1024)
def _kind_of(wanted: Any) -> _Kind:
    return next(kind for kind in _KINDS if kind.fits(wanted))


_CONVERTER: Final = Converter()
