"""Which condition of `queries/metadata.sql` a metadata filter comes to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from jobmaster.data import encode_value
from jobmaster.models import MetadataFilter, Operator

Condition: TypeAlias = tuple[str, Mapping[str, Any]]

NOTHING: Final[Condition] = ("by_nothing", {})
_EQUAL: Final = frozenset({Operator.EQ, Operator.NE})
_PARTS: Final[Mapping[Operator, str]] = {
    Operator.CONTAINS: "by_text_containing",
    Operator.STARTS_WITH: "by_text_starting",
    Operator.ENDS_WITH: "by_text_ending",
}
_INFINITE: Final = "1e1000"


def conditions_for(wanted: MetadataFilter) -> list[Condition]:
    """Return the conditions of which one has to hold."""
    if wanted.operator is Operator.IN:
        found = [_condition(wanted.name, Operator.EQ, value) for value in wanted.value]
        return found or [NOTHING]
    return [_condition(wanted.name, wanted.operator, wanted.value)]


def _condition(name: str, operator: Operator, value: Any) -> Condition:
    encoded = encode_value(value)
    if "\0" in name or (type(encoded) is str and "\0" in encoded):
        return NOTHING  # metadata holds no such thing, and PostgreSQL takes no such text
    if operator in _PARTS:
        return (_PARTS[operator], {"name": name, "value": value}) if type(encoded) is str else NOTHING
    block, params = _comparison(encoded)
    if block == "by_null":
        return (block, {"name": name}) if operator is Operator.EQ else NOTHING
    if block == "by_nothing" or (block == "by_enum" and operator not in _EQUAL):
        return NOTHING
    return f"{block}.{operator}", {"name": name, **params}


def _comparison(encoded: Any) -> Condition:
    """Return the condition for values like an encoded one, and what to compare with."""
    if encoded is None:
        return "by_null", {}
    if type(encoded) is dict:
        convert = _TAGGED.get(encoded["$"])
        return NOTHING if convert is None else convert(encoded)
    if type(encoded) is bool:
        return "by_boolean", {"value": encoded}
    return (
        ("by_text", {"value": encoded}) if type(encoded) is str else ("by_number", {"value": repr(encoded)})
    )


def _special_float(body: Mapping[str, Any]) -> Condition:
    value = float(body["v"])
    if math.isnan(value):
        return NOTHING
    return "by_number", {"value": _INFINITE if value > 0 else f"-{_INFINITE}"}


def _moment(body: Mapping[str, Any]) -> Condition:
    clock_time = body["v"][10:]
    aware = "+" in clock_time or "-" in clock_time
    return "by_aware_moment" if aware else "by_naive_moment", {"value": body["us"]}


_TAGGED: Final[Mapping[str, Callable[[Mapping[str, Any]], Condition]]] = {
    "int": lambda body: ("by_number", {"value": body["v"]}),
    "float": _special_float,
    "dec": lambda body: ("by_decimal", {"value": body["v"]}) if Decimal(body["v"]).is_finite() else NOTHING,
    "dt": _moment,
    "td": lambda body: ("by_span", {"value": body["us"]}),
    "date": lambda body: ("by_date", {"value": body["v"]}),
    "uuid": lambda body: ("by_uuid", {"value": body["v"]}),
    "bytes": lambda body: ("by_bytes", {"value": body["v"]}),
    "enum": lambda body: ("by_enum", {"class": body["c"], "value": body["v"]}),
}
