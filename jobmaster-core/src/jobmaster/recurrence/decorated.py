"""The meaning of `@handler(every=…)` and `@handler(cron=…)`. Errors show the given text and name the setting."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from jobmaster.errors import InvalidExpressionError
from jobmaster.recurrence.expressions import NaturalCron
from jobmaster.recurrence.interval import Interval, in_one_unit
from jobmaster.recurrence.kinds import LONGEST_TEXT
from jobmaster.recurrence.mistaken import is_cron_line, is_in_words, is_interval
from jobmaster.recurrence.natural import refusal_without

_LEFT_OUT: Final = "every "
"""The part that a text may leave out at its beginning."""
_EVERY: Final = re.compile(r"\s*every\s+", re.IGNORECASE)


def every_of(given: Any) -> Any:
    """Return the expression that `every=` means: a text unchanged, or prefixed with `every` if only that can be read.

    Raises `InvalidExpressionError`, about the text as given, if it cannot be read either way.
    """
    if not isinstance(given, str) or len(given) > LONGEST_TEXT or _is_read(given):
        return given
    longer = f"{_LEFT_OUT}{given}"
    if _is_read(longer):
        return longer
    if remedy := _remedy_for_every(given):
        raise InvalidExpressionError("natural", given, remedy, code="other_kind")
    raise refusal_without(_LEFT_OUT, given)


def cron_of(given: Any) -> Any:
    """Return the expression that `cron=` means; raises `InvalidExpressionError` for a text that belongs to `every=`."""
    remedy = _remedy_for_cron(given.strip()) if isinstance(given, str) else ""
    if remedy:
        raise InvalidExpressionError("cron", given, remedy, code="other_kind")
    return given


def _is_read(text: str) -> bool:
    try:
        NaturalCron(text)
    except InvalidExpressionError:
        return False
    return True


def _remedy_for_every(text: str) -> str:
    bare = text[found.end() :] if (found := _EVERY.match(text)) else text
    if is_cron_line(bare):
        return f"these are the fields of a cron line: pass cron={_quoted(bare)} instead of every"
    return f"this is an interval: pass {_as_interval(bare)}" if _is_length(bare) else ""


def _remedy_for_cron(text: str) -> str:
    if is_in_words(text) or _is_read(f"{_LEFT_OUT}{text}"):
        return f"these are words: pass every={_quoted(text)} instead of cron"
    return f"this is an interval: pass {_as_interval(text)} instead of cron" if _is_length(text) else ""


def _is_length(text: str) -> bool:
    try:
        return is_interval(text) and bool(Interval(text))
    except InvalidExpressionError:
        return False


def _as_interval(text: str) -> str:
    count, unit = in_one_unit(Interval(text).every)
    words = f"{count} {unit.removesuffix('s') if count == '1' else unit}"
    asked = f"every=timedelta({unit}={count}) or every=Interval({_quoted(text)})"
    return f"{asked}, or the words every={_quoted(words)}" if _is_read(f"{_LEFT_OUT}{words}") else asked


def _quoted(text: str) -> str:
    return json.dumps(text.strip(), ensure_ascii=False)
