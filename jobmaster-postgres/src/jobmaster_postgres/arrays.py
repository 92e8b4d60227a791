"""Columns of many rows as PostgreSQL's binary arrays, several times faster than element by element.

The format (src/backend/utils/adt/arrayfuncs.c, array_recv): number of dimensions, whether there are NULLs,
the element type's oid, length and lower bound of the dimension; then for each element its length (-1 for
NULL) and its bytes, all big-endian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct, pack
from types import NoneType
from typing import Any, Final

from attrs import frozen
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER: Final = Struct(">iiIii")
_LENGTH: Final = Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_BIGINT: Final = Struct(">iq")
_UUID_LENGTH: Final = _LENGTH.pack(16)


class _Array(bytes):
    """An array in the format that is sent. Each element type has its own class, because psycopg chooses by class."""

    __slots__ = ()


class _BigintArray(_Array):
    __slots__ = ()


class _TextArray(_Array):
    __slots__ = ()


class _UuidArray(_Array):
    __slots__ = ()


class _NumericArray(_Array):
    __slots__ = ()


def _bigint_elements(values: Sequence[int | None]) -> bytes:
    if None in values:
        return b"".join(_NULL if value is None else _BIGINT.pack(8, value) for value in values)
    fields = [8] * (2 * len(values))
    fields[1::2] = values  # type: ignore[assignment]  # no None among them
    return pack(">" + "iq" * len(values), *fields)


def _text_elements(values: Sequence[str | bytes | None]) -> bytes:
    """Encode texts; bytes are already UTF-8."""
    length, parts = _LENGTH.pack, []
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            encoded = value if type(value) is bytes else value.encode()  # type: ignore[union-attr]
            parts += length(len(encoded)), encoded
    return b"".join(parts)


def _uuid_elements(values: Sequence[Any]) -> bytes:
    return b"".join(_NULL if value is None else _UUID_LENGTH + value.bytes for value in values)


@frozen
class ArrayType:
    """How the elements of one type are written."""

    oid: int
    elements: Callable[[Sequence[Any]], bytes]
    array: type[_Array]

    def encode(self, values: Sequence[Any]) -> _Array:
        """Return a parameter for psycopg that holds the values as one array."""
        if not values:
            return self.array(_HEADER.pack(0, 0, self.oid, 0, 0)[:12])
        # Checked by type, since `None in values` would compare each UUID with None.
        has_nulls = NoneType in map(type, values)
        header = _HEADER.pack(1, int(has_nulls), self.oid, len(values), 1)
        return self.array(header + self.elements(values))


@frozen
class NumericArrayType(ArrayType):
    """The same for numbers of any size, given as text: only the server parses them."""

    def encode(self, values: Sequence[str]) -> _Array:
        """Return a parameter that holds the values as the text of an array. Numbers need no quotes."""
        return self.array(f"{{{','.join(values)}}}".encode())


ARRAYS: Final[Mapping[str, ArrayType]] = {
    "bigint": ArrayType(20, _bigint_elements, _BigintArray),
    "int": ArrayType(20, _bigint_elements, _BigintArray),  # the statement casts it
    "numeric": NumericArrayType(1700, _text_elements, _NumericArray),
    "text": ArrayType(25, _text_elements, _TextArray),
    "uuid": ArrayType(2950, _uuid_elements, _UuidArray),
}
"""By the type's name in statements: `:ids::uuid[]`."""


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> bytes:
        """Return the object, which is ready to be sent."""
        return obj


class _TextArrayDumper(_ArrayDumper):
    format = Format.TEXT


def _dumper(array_oid: int) -> type[_ArrayDumper]:
    return type(f"_ArrayDumper{array_oid}", (_ArrayDumper,), {"oid": array_oid})


def register_arrays(context: AdaptContext) -> None:
    """Register these arrays with a connection."""
    for array, oid in ((_BigintArray, 1016), (_TextArray, 1009), (_UuidArray, 2951)):
        context.adapters.register_dumper(array, _dumper(oid))
    context.adapters.register_dumper(
        _NumericArray, type("_ArrayDumper1231", (_TextArrayDumper,), {"oid": 1231})
    )
