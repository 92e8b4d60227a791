"""Message data and metadata: typed values that come back exactly as they went in.

The encoded form is JSON text. Strings, booleans, null, floats and integers of 64 bits are plain JSON;
everything else is an object whose key `$` names the type:

=================  =============================================================================
`Decimal`          `{"$": "dec", "v": "1.10"}`
`datetime`         `{"$": "dt", "v": ISO 8601, "us": microseconds since 1970 UTC, "tz": zone key}`
`date`             `{"$": "date", "v": "2026-01-31"}`
`timedelta`        `{"$": "td", "us": microseconds}`
`UUID`             `{"$": "uuid", "v": "…"}`
`bytes`            `{"$": "bytes", "v": base64}`
enum member        `{"$": "enum", "c": "module:QualifiedName", "v": member name}`
`tuple`            `{"$": "tuple", "v": [...]}`
big `int`          `{"$": "int", "v": decimal digits}` (beyond 64 bits)
nan, ±inf          `{"$": "float", "v": "nan"}`
`dict` with `$`    `{"$": "map", "v": {...}}`
=================  =============================================================================
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from uuid import UUID
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import orjson

from jobmaster._process.enums import EnumMember, LoadedEnums
from jobmaster._text.showing import shown
from jobmaster.errors import InvalidDataError

E = TypeVar("E", bound=Enum)
T = TypeVar("T")

_PLAIN: Final = frozenset({str, bool, type(None)})
DEEPEST = 100
"""Levels of nesting that values may have."""
LONGEST_NAME = 200
"""Characters of the longest metadata name."""
MOST_METADATA = 64 * 1024
"""Bytes of encoded metadata."""
WIDEST_DECIMAL = 10_000
"""Places before or after the point that a decimal in metadata may have: databases cannot compare wider ones."""
LONGEST_INT = 14_000
"""Bits of the longest integer: Python converts longer ones to text only on request."""

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING: Final[Any] = object()
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)


class _Values(Mapping[str, Any]):
    """A read-only mapping over encoded values, decoded on first access."""

    __slots__ = ("_decoded", "_encoded", "_parsed")

    def __init__(self, encoded: bytes | str = b"{}") -> None:
        self._encoded = encoded
        self._parsed: dict[str, Any] | None = None
        self._decoded: dict[str, Any] | None = None

    @property
    def encoded(self) -> bytes:
        """The stored form: JSON in UTF-8."""
        return self._encoded.encode() if isinstance(self._encoded, str) else self._encoded

    @property
    def size(self) -> int:
        """The length of the stored form: its bytes, or its characters if a store returned it as text."""
        return len(self._encoded)

    def _raw(self) -> dict[str, Any]:
        if self._parsed is None:
            self._parsed = _parsed(self._encoded, type(self).__name__)
        return self._parsed

    def stored(self, name: str, default: Any = None) -> Any:
        """Return a value in its stored form, as `orjson` reads it, or `default` if the name is absent."""
        return self._raw().get(name, default)

    def __getitem__(self, name: str) -> Any:
        if self._decoded is None:
            self._decoded = {}
        if name not in self._decoded:
            self._decoded[name] = _read(self._raw()[name], name)
        return self._decoded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._raw()

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw())

    def __len__(self) -> int:
        return len(self._raw())

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a mapping compared by value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.encoded.decode()})"

    def _typed(self, name: str, wanted: type[T] | tuple[type[T], ...], default: Any) -> T:
        if name not in self:
            if default is _MISSING:
                known = ", ".join(self) or "nothing"
                msg = f"no value named {shown(name)} (available: {known})"
                raise KeyError(msg)
            return cast("T", default)
        value = self[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            names = wanted.__name__ if isinstance(wanted, type) else " or ".join(w.__name__ for w in wanted)
            msg = f"value {shown(name)} is {type(value).__name__}, not {names}"
            raise TypeError(msg)
        return value

    def get_str(self, name: str, default: str = _MISSING) -> str:
        """Return a string; raises `KeyError` if absent without default, `TypeError` for another type."""
        return self._typed(name, str, default)

    def get_int(self, name: str, default: int = _MISSING) -> int:
        """Return an integer (not a bool); raises as `get_str`."""
        return self._typed(name, int, default)

    def get_float(self, name: str, default: float = _MISSING) -> float:
        """Return a float; an integer is converted. Raises as `get_str`."""
        return float(self._typed(name, (float, int), default))

    def get_bool(self, name: str, default: bool = _MISSING) -> bool:
        """Return a boolean; raises as `get_str`."""
        return self._typed(name, bool, default)

    def get_decimal(self, name: str, default: Decimal = _MISSING) -> Decimal:
        """Return a `Decimal`; raises as `get_str`."""
        return self._typed(name, Decimal, default)

    def get_datetime(self, name: str, default: datetime = _MISSING) -> datetime:
        """Return a `datetime`, aware if it was; raises as `get_str`."""
        return self._typed(name, datetime, default)

    def get_date(self, name: str, default: date = _MISSING) -> date:
        """Return a `date`; raises as `get_str`."""
        return self._typed(name, date, default)

    def get_uuid(self, name: str, default: UUID = _MISSING) -> UUID:
        """Return a `UUID`; raises as `get_str`."""
        return self._typed(name, UUID, default)

    def get_bytes(self, name: str, default: bytes = _MISSING) -> bytes:
        """Return `bytes`; raises as `get_str`."""
        return self._typed(name, bytes, default)

    def get_enum(self, name: str, enum: type[E], default: E = _MISSING) -> E:
        """Return the member of `enum` with the stored name, no matter which class it had; raises as `get_str`."""
        raw = self._raw().get(name)
        if isinstance(raw, dict) and raw.get("$") == "enum":
            return _member_of(name, enum, raw["v"])
        return self._typed(name, enum, default)


class MessageData(_Values):
    """The values that a job carries to its handler: a read-only mapping with typed getters."""

    __slots__ = ()

    @classmethod
    def of(cls, values: Mapping[str, Any] | None = None, /, **more: Any) -> MessageData:
        """Encode values; raises `InvalidDataError` naming the first one that cannot be carried."""
        return cls(encode({**(values or {}), **more} if more else values or {}))

    def as_stored(self) -> dict[str, Any]:
        """Return all values, with an `EnumMember` for each member of an enum: no class is looked up."""
        return {name: _read(value, name, _as_stored) for name, value in self._raw().items()}

    def get_json(self, name: str, default: Any = _MISSING) -> Any:
        """Return a value of any type; raises `KeyError` if absent without default."""
        return self._typed(name, object, default)


class Metadata(_Values):
    """Small facts about a job that queries can filter by. The same types as message data, not nested."""

    __slots__ = ()

    @classmethod
    def of(cls, values: Mapping[str, Any] | None = None, /, **more: Any) -> Metadata:
        """Encode values; raises `InvalidDataError` for a name or a value that cannot be stored and searched for."""
        merged = {**(values or {}), **more}
        for name, value in merged.items():
            _check_fact(name, value)
        encoded = encode(merged)
        if len(encoded) > MOST_METADATA:
            msg = f"metadata is {len(encoded)} bytes, over {MOST_METADATA}; put long values into the message data"
            raise InvalidDataError(msg)
        return cls(encoded)


NO_METADATA: Final = Metadata()


def encode(values: Mapping[str, Any]) -> bytes:
    """Encode named values to JSON; raises `InvalidDataError` naming the value that does not fit."""
    if not values:
        return b"{}"
    body = {
        name if type(name) is str else _name(name): value
        if (kind := type(value)) in _PLAIN or (kind is int and _LEAST <= value <= _MOST)
        else _encode(value, name, 0)
        for name, value in values.items()
    }
    try:
        return orjson.dumps(body)
    except TypeError as error:  # a string with lone surrogates, or extremely deep nesting
        msg = f"message data cannot be encoded: {error}"
        raise InvalidDataError(msg) from error


def encode_value(value: Any) -> Any:
    """Return the JSON form of one value, as `encode` would write it (queries compare with it)."""
    return _encode(value, "value", 0)


def _name(name: object) -> str:
    if type(name) is not str:
        msg = f"names of values must be strings, not {shown(name)}"
        raise InvalidDataError(msg)
    return name


def text_fault(text: str) -> str | None:
    """Return what a text contains that databases cannot store and find again; None if it can be stored."""
    if "\0" in text:
        return "a NUL character, which databases cannot search"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "half of a surrogate pair, which is not a character and cannot be stored"
    return None


def _check_fact(name: str, value: Any) -> None:
    """Check one metadata name and its value."""
    fault = text_fault(_name(name))
    if fault or len(name) > LONGEST_NAME:
        wrong = f"contains {fault}" if fault else f"is longer than {LONGEST_NAME} characters"
        msg = f"metadata name {name[:80]!r} {wrong}; choose another name"
        raise InvalidDataError(msg)
    if isinstance(value, (list, tuple, Mapping)):
        msg = f"metadata {shown(name)} is {type(value).__name__}: metadata cannot nest; put it in the message data"
        raise InvalidDataError(msg)
    if isinstance(value, str) and (fault := text_fault(value)):
        msg = f"metadata {shown(name)} contains {fault}; put it in the message data, as bytes"
        raise InvalidDataError(msg)
    if type(value) is Decimal and is_too_wide(value):
        msg = f"metadata {shown(name)} has over {WIDEST_DECIMAL} places, which databases cannot compare; pass it as text"
        raise InvalidDataError(msg)


def is_too_wide(value: Decimal) -> bool:
    """Return whether a decimal has more places than databases can compare."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and (value.adjusted() > WIDEST_DECIMAL or -exponent > WIDEST_DECIMAL)


def _encode(value: Any, path: str, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder(value, path)
    if isinstance(value, Enum):
        return _encode_enum(value, path)
    return _encode_nested(value, path, depth + 1)


def _encode_nested(value: Any, path: str, depth: int) -> Any:
    if depth > DEEPEST:
        msg = f"value {path[:80]!r}… is nested more than {DEEPEST} levels deep, or contains itself"
        raise InvalidDataError(msg)
    if isinstance(value, Mapping):
        return _encode_map(value, path, depth)
    if type(value) is list:
        return _encode_items(value, path, depth)
    if type(value) is tuple:
        return {"$": "tuple", "v": _encode_items(value, path, depth)}
    kind = type(value)
    msg = (
        f"value {shown(path)} is of type {kind.__module__}.{kind.__qualname__}, which a job cannot carry; "
        "use str, int, float, bool, None, Decimal, datetime, date, timedelta, UUID, bytes, an enum, "
        "or lists and dictionaries of them"
    )
    raise InvalidDataError(msg)


def _encode_int(value: int, path: str) -> Any:
    if _LEAST <= value <= _MOST:
        return value
    if value.bit_length() > LONGEST_INT:
        msg = f"value {shown(path)} is an integer of over {LONGEST_INT} bits; pass it as bytes"
        raise InvalidDataError(msg)
    return {"$": "int", "v": str(value)}


def _encode_float(value: float, _path: str) -> Any:
    return value if isfinite(value) else {"$": "float", "v": repr(value)}


def _encode_datetime(value: datetime, path: str) -> Any:
    body: dict[str, Any] = {"$": "dt", "v": value.isoformat()}
    if value.fold:
        body["fold"] = 1
    zone = value.tzinfo
    if (offset := value.utcoffset()) and abs(offset) < _SECOND:
        msg = f"value {shown(path)} is {offset} off UTC, which ISO 8601 cannot say; use a whole number of seconds"
        raise InvalidDataError(msg)
    body["us"] = ((value.replace(tzinfo=UTC) if zone is None else value) - _EPOCH) // _MICROSECOND
    if isinstance(zone, ZoneInfo):
        if zone.key is None:
            msg = f"value {shown(path)} has a time zone without a name; use ZoneInfo('Area/City') or UTC"
            raise InvalidDataError(msg)
        body["tz"] = zone.key
    elif zone is not None and not isinstance(zone, timezone):
        msg = f"value {shown(path)} has a time zone of type {type(zone).__name__}; use ZoneInfo or a fixed offset"
        raise InvalidDataError(msg)
    return body


def _encode_span(value: timedelta, path: str) -> Any:
    span = value // _MICROSECOND
    if not _LEAST <= span <= _MOST:
        msg = f"value {shown(path)} is a timedelta of over 292,000 years, which cannot be stored; pass its days as a number"
        raise InvalidDataError(msg)
    return {"$": "td", "us": span}


def _encode_enum(value: Enum, path: str) -> Any:
    cls = type(value)
    if "<locals>" in cls.__qualname__:
        msg = f"value {shown(path)} is of the local enum {cls.__qualname__}, which cannot be found again by name"
        raise InvalidDataError(msg)
    if value.name not in cls.__members__:
        msg = (
            f"value {shown(path)} is a combination of members of {cls.__qualname__}; pass its integer instead"
        )
        raise InvalidDataError(msg)
    return {"$": "enum", "c": f"{cls.__module__}:{cls.__qualname__}", "v": value.name}


def _encode_stored(value: EnumMember, _path: str) -> Any:
    return {"$": "enum", "c": value.path, "v": value.name}


def _encode_map(value: Mapping[Any, Any], path: str, depth: int) -> Any:
    body = {_name(key): _encode(item, f"{path}.{key}", depth) for key, item in value.items()}
    return {"$": "map", "v": body} if "$" in body else body


def _encode_items(value: Sequence[Any], path: str, depth: int) -> Any:
    return [_encode(item, f"{path}[{index}]", depth) for index, item in enumerate(value)]


_ENCODERS: Final[dict[type, Callable[[Any, str], Any]]] = {
    int: _encode_int,
    float: _encode_float,
    datetime: _encode_datetime,
    Decimal: lambda value, _: {"$": "dec", "v": str(value)},
    date: lambda value, _: {"$": "date", "v": value.isoformat()},
    timedelta: _encode_span,
    UUID: lambda value, _: {"$": "uuid", "v": str(value)},
    bytes: lambda value, _: {"$": "bytes", "v": base64.b64encode(value).decode()},
    EnumMember: _encode_stored,
}


Member = Callable[[EnumMember, str], Any]
"""Returns what a stored enum member in the value of a name is read as."""


def _parsed(encoded: bytes | str, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(encoded)
    except (orjson.JSONDecodeError, TypeError):
        found = None
    if not isinstance(found, dict):
        msg = f"the stored {what} is not a JSON object, so nothing can be read from it"
        raise InvalidDataError(msg)
    return found


def _read(value: Any, name: str, member: Member | None = None) -> Any:
    """Return a value of untrusted data; raises `InvalidDataError` for an unknown form."""
    try:
        return _decode(value, name, member)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        OSError,
    ) as error:
        msg = (
            f"value {shown(name)} is stored in a form that no type has here ({type(error).__name__}: {error})"
        )
        raise InvalidDataError(msg) from error


def _decode(value: Any, name: str, member: Member | None = None) -> Any:
    """Return a value; without `member`, enum members are looked up among the loaded classes."""
    if type(value) is list:
        member = member or LoadedEnums().member
        return [_decode(item, name, member) for item in value]
    if type(value) is not dict:
        return value
    member = member or LoadedEnums().member
    tag = value.get("$")
    if tag in (None, "map"):
        items = value if tag is None else value["v"]
        return {key: _decode(item, name, member) for key, item in items.items()}
    if tag == "tuple":
        return tuple(_decode(item, name, member) for item in value["v"])
    if tag == "enum":
        return member(EnumMember(value["c"], value["v"]), name)
    return _DECODERS[tag](value)


def _as_stored(stored: EnumMember, _name: str) -> EnumMember:
    return stored


def _decode_datetime(body: dict[str, Any]) -> datetime:
    value = datetime.fromisoformat(body["v"]).replace(fold=body.get("fold", 0))
    return value.replace(tzinfo=_zone(body["tz"])) if "tz" in body else value


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    """Return an existing zone. Other names never reach `ZoneInfo`, which would import packages named like their parts."""
    in_files = any(Path(folder, name).is_file() for folder in TZPATH)
    if not in_files and name not in available_timezones():
        msg = f"{shown(name)} is not a time zone known here"
        raise ValueError(msg)
    return ZoneInfo(name)


_DECODERS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "int": lambda body: int(body["v"]),
    "float": lambda body: float(body["v"]),
    "dt": _decode_datetime,
    "dec": lambda body: Decimal(body["v"]),
    "date": lambda body: date.fromisoformat(body["v"]),
    "td": lambda body: timedelta(microseconds=body["us"]),
    "uuid": lambda body: UUID(body["v"]),
    "bytes": lambda body: base64.b64decode(body["v"]),
}


def _member_of(name: str, enum: type[E], member: str) -> E:
    try:
        return enum[member]
    except KeyError:
        msg = f"value {shown(name)} is {shown(member)}, which {enum.__qualname__} does not have"
        raise TypeError(msg) from None
