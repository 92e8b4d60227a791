"""Which conditions of `queries/metadata.sql` a metadata filter translates to: one for each kind of values in it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from jobmaster.comparing import wanted_by
from jobmaster.data import text_fault
from jobmaster.models import MetadataFilter, Operator

Condition: TypeAlias = tuple[str, Mapping[str, Any]]

NOTHING: Final[Condition] = ("by_nothing", {})
_PARTS: Final[Mapping[Operator, str]] = {
    Operator.CONTAINS: "by_text_containing",
    Operator.STARTS_WITH: "by_text_starting",
    Operator.ENDS_WITH: "by_text_ending",
}
_INFINITE: Final = "1e5000"
"""Beyond every integer and float that is compared; the statement uses the same value for stored ones."""
_INFINITE_DECIMAL: Final = "1e20000"
"""Beyond every decimal that is compared."""


def conditions_for(wanted: MetadataFilter) -> list[Condition]:
    """Return the conditions of which at least one has to hold."""
    if text_fault(wanted.name):  # metadata has no such names, and PostgreSQL accepts no such text
        return [NOTHING]
    found: list[Condition] = []
    for kind, keys in wanted_by(wanted).items():
        found += _conditions(wanted.operator, kind, keys)
    return [(block, {"name": wanted.name, **params}) for block, params in found] or [NOTHING]


def _conditions(operator: Operator, kind: str, keys: Sequence[Any]) -> list[Condition]:
    if kind == "null":
        return [] if operator is Operator.NE else [("by_null", {})]
    if operator in _PARTS:
        return [(_PARTS[operator], {"value": keys[0]})]
    if kind == "number":
        compared = {"value": [*map(_exact, keys)], "real": [*map(_among_floats, keys)]}
        return [(f"by_number.{operator}", compared)]
    if kind.startswith("enum "):
        return [(f"by_enum.{operator}", {"class": kind.removeprefix("enum "), "value": keys})]
    block, written = _BLOCKS[kind]
    return [(f"{block}.{operator}", {"value": [written(key) for key in keys]})]


def _exact(number: float) -> str:
    """Return a number with all its digits: a float is seldom exactly what its shortest text says."""
    if type(number) is float:
        return _infinite(number) if math.isinf(number) else f"{Decimal(number):f}"
    return str(number)


def _among_floats(number: float) -> str:
    """Return a text to compare with the texts of floats that gives the same result as comparing the floats.

    Floats have the same order as their texts. A number between two floats is also between their texts.
    """
    if type(number) is float:
        return _infinite(number) if math.isinf(number) else repr(number)
    try:
        nearest = float(number)
    except OverflowError:
        return str(number)
    if nearest == number:
        return repr(nearest)
    lower, upper = (nearest, math.nextafter(nearest, math.inf))
    if nearest > number:
        lower, upper = math.nextafter(nearest, -math.inf), nearest
    if math.isinf(lower) or math.isinf(upper):
        return str(number)
    return f"{(Decimal(repr(lower)) + Decimal(repr(upper))) / 2:f}"


def _infinite(number: float) -> str:
    return _INFINITE if number > 0 else f"-{_INFINITE}"


def _decimal(key: Decimal) -> str:
    if key.is_infinite():
        return _INFINITE_DECIMAL if key > 0 else f"-{_INFINITE_DECIMAL}"
    return str(key)


_BLOCKS: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "boolean": ("by_boolean", lambda key: "true" if key else "false"),
    "text": ("by_text", str),
    "decimal": ("by_decimal", _decimal),
    "aware moment": ("by_aware_moment", str),
    "naive moment": ("by_naive_moment", str),
    "span": ("by_span", str),
    "date": ("by_date", str),
    "uuid": ("by_uuid", str),
    "bytes": ("by_bytes", lambda key: base64.b64encode(key).decode()),
}
"""By the kind of a value: its condition, and how its values are written there."""
