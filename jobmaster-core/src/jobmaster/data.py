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
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, Final, TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from attrs import frozen

from jobmaster.errors import InvalidDataError

E = TypeVar("E", bound=Enum)
T = TypeVar("T")

_PLAIN: Final = frozenset({str, bool, type(None)})
DEEPEST = 100
"""Levels that values may nest."""
LONGEST_NAME = 200
"""Characters of the longest metadata name."""
MOST_METADATA = 64 * 1024
"""Bytes of encoded metadata."""
WIDEST_DECIMAL = 10_000
"""Places before or behind the point that a decimal in metadata may have: databases compare no wider ones."""
LONGEST_INT = 14_000
"""Bits of the longest integer: Python converts longer ones to text only on request."""

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING: Final[Any] = object()
_MICROSECOND: Final = timedelta(microseconds=1)


@frozen
class EnumMember:
    """A member of an enum as it is stored: its class may have another name here, or not be loaded."""

    path: str
    """Module and qualified name of the class, as its sender knew it."""
    name: str
    """The member's name."""

    @classmethod
    def of(cls, member: Enum) -> EnumMember:
        """Return the stored form of a member that has a name of its own."""
        kind = type(member)
        return cls(f"{kind.__module__}:{kind.__qualname__}", member.name)

    def found(self, name: str) -> Enum:
        """Return the member, of the value `name`, if its class is loaded; raises `LookupError`."""
        return _decode_enum({"c": self.path, "v": self.name}, name)


class _Values(Mapping[str, Any]):
    """A read-only mapping over encoded values, decoded when first looked at."""

    __slots__ = ("_decoded", "_encoded", "_parsed")

    def __init__(self, encoded: bytes | str = b"{}") -> None:
        self._encoded = encoded
        self._parsed: dict[str, Any] | None = None
        self._decoded: dict[str, Any] | None = None

    @property
    def encoded(self) -> bytes:
        """The stored form: JSON in UTF-8."""
        return self._encoded.encode() if isinstance(self._encoded, str) else self._encoded

    def _raw(self) -> dict[str, Any]:
        if self._parsed is None:
            self._parsed = orjson.loads(self._encoded)
        return self._parsed

    def __getitem__(self, name: str) -> Any:
        if self._decoded is None:
            self._decoded = {}
        if name not in self._decoded:
            self._decoded[name] = _decode(self._raw()[name], name)
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
                msg = f"no value named {name!r} (there are: {known})"
                raise KeyError(msg)
            return cast("T", default)
        value = self[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            names = wanted.__name__ if isinstance(wanted, type) else " or ".join(w.__name__ for w in wanted)
            msg = f"value {name!r} is {type(value).__name__}, not {names}"
            raise TypeError(msg)
        return value

    def get_str(self, name: str, default: str = _MISSING) -> str:
        """Return a string; raises `KeyError` if absent without default, `TypeError` for another type."""
        return self._typed(name, str, default)

    def get_int(self, name: str, default: int = _MISSING) -> int:
        """Return an integer (a bool is none); raises as `get_str`."""
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
        """Return a member of `enum`, found by its name, whatever class it was; raises as `get_str`."""
        raw = self._raw().get(name)
        if isinstance(raw, dict) and raw.get("$") == "enum":
            return _member_of(name, enum, raw["v"])
        return self._typed(name, enum, default)


class MessageData(_Values):
    """What a job carries to its handler: a read-only mapping with typed getters."""

    __slots__ = ()

    @classmethod
    def of(cls, values: Mapping[str, Any] | None = None, /, **more: Any) -> MessageData:
        """Encode values; raises `InvalidDataError` naming the first one that cannot be carried."""
        return cls(encode({**(values or {}), **more} if more else values or {}))

    def as_stored(self) -> dict[str, Any]:
        """Return all values, with an `EnumMember` for each member of an enum: no class is looked for."""
        return {name: _decode(value, name, _as_stored) for name, value in self._raw().items()}

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
            msg = f"metadata is {len(encoded)} bytes, over {MOST_METADATA}; put what is long into the message data"
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
    except TypeError as error:  # a string with lone surrogates, or nesting beyond all reason
        msg = f"message data cannot be encoded: {error}"
        raise InvalidDataError(msg) from error


def encode_value(value: Any) -> Any:
    """Return the JSON form of one value, as `encode` would write it (queries compare with it)."""
    return _encode(value, "value", 0)


def _name(name: object) -> str:
    if type(name) is not str:
        msg = f"names of values must be strings, not {name!r}"
        raise InvalidDataError(msg)
    return name


def text_fault(text: str) -> str | None:
    """Return what a text contains that no database stores and finds again; None if it can be stored."""
    if "\0" in text:
        return "a NUL character, which databases cannot search"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "half of a surrogate pair, which is no character and cannot be stored"
    return None


def _check_fact(name: str, value: Any) -> None:
    """Check one name of metadata and its value."""
    fault = text_fault(_name(name))
    if fault or len(name) > LONGEST_NAME:
        wrong = f"contains {fault}" if fault else f"is longer than {LONGEST_NAME} characters"
        msg = f"metadata name {name[:80]!r} {wrong}; choose another name"
        raise InvalidDataError(msg)
    if isinstance(value, (list, tuple, Mapping)):
        msg = f"metadata {name!r} is {type(value).__name__}: metadata cannot nest; put it in the message data"
        raise InvalidDataError(msg)
    if isinstance(value, str) and (fault := text_fault(value)):
        msg = f"metadata {name!r} contains {fault}; put it in the message data, as bytes"
        raise InvalidDataError(msg)
    if type(value) is Decimal and _is_too_wide(value):
        msg = f"metadata {name!r} has over {WIDEST_DECIMAL} places, which databases cannot compare; pass it as text"
        raise InvalidDataError(msg)


def _is_too_wide(value: Decimal) -> bool:
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
        f"value {path!r} is of type {kind.__module__}.{kind.__qualname__}, which a job cannot carry; "
        "use str, int, float, bool, None, Decimal, datetime, date, timedelta, UUID, bytes, an enum, "
        "or lists and dictionaries of them"
    )
    raise InvalidDataError(msg)


def _encode_int(value: int, path: str) -> Any:
    if _LEAST <= value <= _MOST:
        return value
    if value.bit_length() > LONGEST_INT:
        msg = f"value {path!r} is an integer of over {LONGEST_INT} bits; pass it as bytes"
        raise InvalidDataError(msg)
    return {"$": "int", "v": str(value)}


def _encode_float(value: float, _path: str) -> Any:
    return value if isfinite(value) else {"$": "float", "v": repr(value)}


def _encode_datetime(value: datetime, path: str) -> Any:
    body: dict[str, Any] = {"$": "dt", "v": value.isoformat()}
    if value.fold:
        body["fold"] = 1
    zone = value.tzinfo
    body["us"] = ((value.replace(tzinfo=UTC) if zone is None else value) - _EPOCH) // _MICROSECOND
    if isinstance(zone, ZoneInfo):
        if zone.key is None:
            msg = f"value {path!r} has a time zone without a name; use ZoneInfo('Area/City') or UTC"
            raise InvalidDataError(msg)
        body["tz"] = zone.key
    elif zone is not None and not isinstance(zone, timezone):
        msg = f"value {path!r} has a time zone of type {type(zone).__name__}; use ZoneInfo or a fixed offset"
        raise InvalidDataError(msg)
    return body


def _encode_enum(value: Enum, path: str) -> Any:
    cls = type(value)
    if "<locals>" in cls.__qualname__:
        msg = f"value {path!r} is of the local enum {cls.__qualname__}, which cannot be found again by name"
        raise InvalidDataError(msg)
    if value.name not in cls.__members__:
        msg = f"value {path!r} is a combination of members of {cls.__qualname__}; pass its integer instead"
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
    timedelta: lambda value, _: {"$": "td", "us": value // _MICROSECOND},
    UUID: lambda value, _: {"$": "uuid", "v": str(value)},
    bytes: lambda value, _: {"$": "bytes", "v": base64.b64encode(value).decode()},
    EnumMember: _encode_stored,
}


Member = Callable[[dict[str, Any], str], Any]
"""Returns what becomes of a stored member of an enum, of the value of a name."""


def _decode(value: Any, name: str, member: Member | None = None) -> Any:
    """Return a value; without `member`, those of enums are looked for among the loaded classes."""
    if type(value) is list:
        return [_decode(item, name, member) for item in value]
    if type(value) is not dict:
        return value
    tag = value.get("$")
    if tag in (None, "map"):
        items = value if tag is None else value["v"]
        return {key: _decode(item, name, member) for key, item in items.items()}
    if tag == "tuple":
        return tuple(_decode(item, name, member) for item in value["v"])
    return _DECODERS[tag](value, name) if tag != "enum" else (member or _decode_enum)(value, name)


def _as_stored(body: dict[str, Any], _name: str) -> EnumMember:
    return EnumMember(body["c"], body["v"])


def _decode_datetime(body: dict[str, Any], _name: str) -> datetime:
    value = datetime.fromisoformat(body["v"]).replace(fold=body.get("fold", 0))
    return value.replace(tzinfo=ZoneInfo(body["tz"])) if "tz" in body else value


def _decode_enum(body: dict[str, Any], name: str) -> Enum:
    """Return an enum member if this process has imported its class: data never makes us import a module."""
    module, _, qualified = body["c"].partition(":")
    found: Any = sys.modules.get(module)
    for part in qualified.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Enum)) or body["v"] not in found.__members__:
        msg = f"value {name!r} is {body['c']}.{body['v']}; import its module, or use get_enum({name!r}, …)"
        raise LookupError(msg)
    return found.__members__[body["v"]]


_DECODERS: Final[dict[str, Callable[[dict[str, Any], str], Any]]] = {
    "int": lambda body, _: int(body["v"]),
    "float": lambda body, _: float(body["v"]),
    "dt": _decode_datetime,
    "dec": lambda body, _: Decimal(body["v"]),
    "date": lambda body, _: date.fromisoformat(body["v"]),
    "td": lambda body, _: timedelta(microseconds=body["us"]),
    "uuid": lambda body, _: UUID(body["v"]),
    "bytes": lambda body, _: base64.b64decode(body["v"]),
}


def _member_of(name: str, enum: type[E], member: str) -> E:
    try:
        return enum[member]
    except KeyError:
        msg = f"value {name!r} is {member!r}, which {enum.__qualname__} does not have"
        raise TypeError(msg) from None
