"""Comparing metadata: the meaning of filters, which every provider reproduces.

Values are compared in their stored form, so that comparing runs none of their code, looks up no class and opens no time
zone. Values that cannot be compared, such as nan, or an old row that holds more than is accepted today, are equal to
nothing, different from nothing and not part of any order: they never make a query fail.
"""

from __future__ import annotations

import base64
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from attrs import frozen

from jobmaster._text.showing import shown
from jobmaster.data import LONGEST_INT, Metadata, encode_value, is_too_wide, text_fault
from jobmaster.errors import InvalidDataError, InvalidQueryError
from jobmaster.models import MetadataFilter, Operator

_MOST_DIGITS: Final = LONGEST_INT * 3 // 10 + 16
"""Digits of the longest integer, with some margin. Longer integers, which only old rows have, are not read."""


class Comparable(NamedTuple):
    """A value as it is compared: only with others of its kind, by its key."""

    kind: str
    key: Any


def comparable(stored: Any) -> Comparable | None:
    """Return the comparable form of a stored value; None for one that compares with nothing. Raises nothing."""
    kind = _PLAIN.get(type(stored))
    if kind is not None:
        return Comparable(kind, stored) if type(stored) is not str or text_fault(stored) is None else None
    if type(stored) is not dict:
        return None
    try:
        read = _TAGGED.get(stored.get("$"))
        return None if read is None else read(stored)
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return None  # JobMaster does not write such values


def _integer(body: Mapping[str, Any]) -> Comparable | None:
    return Comparable("number", int(body["v"])) if len(body["v"]) <= _MOST_DIGITS else None


def _float(body: Mapping[str, Any]) -> Comparable | None:
    value = float(body["v"])
    return None if math.isnan(value) else Comparable("number", value)


def _decimal(body: Mapping[str, Any]) -> Comparable | None:
    value = Decimal(body["v"])
    return None if value.is_nan() or is_too_wide(value) else Comparable("decimal", value)


def _moment(body: Mapping[str, Any]) -> Comparable:
    """Moments are compared as instants, in whatever zone they are written. An offset follows the time."""
    clock_time = body["v"][10:]
    aware = "+" in clock_time or "-" in clock_time
    return Comparable("aware moment" if aware else "naive moment", _whole(body["us"]))


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise TypeError(number)
    return number


def _text(kind: str) -> Callable[[Mapping[str, Any]], Comparable]:
    return lambda body: Comparable(kind, str.__str__(body["v"]))


_PLAIN: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
}
_TAGGED: Final[Mapping[Any, Callable[[Mapping[str, Any]], Comparable | None]]] = {
    "int": _integer,
    "float": _float,
    "dec": _decimal,
    "dt": _moment,
    "td": lambda body: Comparable("span", _whole(body["us"])),
    "date": _text("date"),
    "uuid": _text("uuid"),
    "bytes": lambda body: Comparable("bytes", base64.b64decode(body["v"], validate=True)),
    "enum": lambda body: Comparable(f"enum {body['c']}", str.__str__(body["v"])),
}
_ORDERS: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}
_PARTS: Final[Mapping[Operator, Callable[[str, str], bool]]] = {
    Operator.CONTAINS: operator.contains,
    Operator.STARTS_WITH: str.startswith,
    Operator.ENDS_WITH: str.endswith,
}


def operator_of(wanted: MetadataFilter) -> Operator:
    """Return how a filter compares; raises `InvalidQueryError` for an unknown operator."""
    if isinstance(wanted.operator, Operator):
        return wanted.operator
    msg = f"metadata {shown(wanted.name)}: {shown(wanted.operator)} is not an operator; use one of {', '.join(Operator)}"
    raise InvalidQueryError(msg)


def has_order(kind: str) -> bool:
    """Return whether values of a kind can be put in order."""
    return kind != "null" and not kind.startswith("enum ")


def wanted_by(wanted: MetadataFilter) -> Mapping[str, Sequence[Any]]:
    """Return the keys that a filter compares with, by their kinds: none if nothing can match.

    Raises `InvalidQueryError` for an unknown operator, and `InvalidDataError` for a value that metadata cannot hold.
    """
    return _by_kind(operator_of(wanted), stored_values(wanted))


def stored_values(wanted: MetadataFilter) -> Sequence[Any]:
    """Return the values that a filter compares with, in their stored form; raises as `wanted_by`."""
    several = wanted.value if operator_of(wanted) is Operator.IN else [wanted.value]
    return [encode_value(value) for value in several]


def _by_kind(how: Operator, stored: Iterable[Any]) -> Mapping[str, Sequence[Any]]:
    keys: dict[str, dict[Any, None]] = {}
    for value in stored:
        found = comparable(value)
        if found is not None and _says_something(how, found.kind):
            keys.setdefault(found.kind, {})[found.key] = None
    return {kind: list(each) for kind, each in keys.items()}


def _says_something(how: Operator, kind: str) -> bool:
    if how in _PARTS:
        return kind == "text"
    return how not in _ORDERS or has_order(kind)


@frozen
class Comparison:
    """A filter, ready to be compared with the metadata of many jobs."""

    name: str
    holds: Mapping[str, Callable[[Any], bool]]
    """For each kind of value, a test whether the key is wanted."""

    @classmethod
    def of(cls, wanted: MetadataFilter) -> Comparison:
        """Prepare a filter."""
        return cls._by(wanted.name, wanted.operator, wanted_by(wanted))

    @classmethod
    def of_stored(cls, name: str, how: Operator, values: Iterable[Any]) -> Comparison:
        """Prepare the filter of one or, for `in`, several values in their stored form."""
        return cls._by(name, how, _by_kind(how, values))

    @classmethod
    def _by(cls, name: str, how: Operator, wanted: Mapping[str, Sequence[Any]]) -> Comparison:
        return cls(name, {kind: _test(how, keys) for kind, keys in wanted.items()})

    def matches(self, metadata: Metadata) -> bool:
        """Return whether metadata satisfies the filter; raises nothing."""
        try:
            found = comparable(metadata.stored(self.name, _ABSENT))
        except InvalidDataError:  # a damaged row, whose metadata is not JSON
            return False
        if found is None:
            return False
        holds = self.holds.get(found.kind)
        return holds is not None and holds(found.key)


_ABSENT: Final = ()
"""Stands for an absent value: no stored value is a tuple."""


def _test(how: Operator, keys: Sequence[Any]) -> Callable[[Any], bool]:
    if how is Operator.IN:
        return frozenset(keys).__contains__
    wanted = keys[0]
    if how is Operator.EQ:
        return lambda key: bool(key == wanted)
    if how is Operator.NE:
        return lambda key: bool(key != wanted)
    compare = _ORDERS.get(how) or _PARTS[how]
    return lambda key: compare(key, wanted)


def matches(wanted: MetadataFilter, metadata: Metadata) -> bool:
    """Return whether metadata satisfies a filter."""
    return Comparison.of(wanted).matches(metadata)
