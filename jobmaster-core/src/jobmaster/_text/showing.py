"""Showing refused values in errors: any value, in bounded length."""

from __future__ import annotations

from typing import Final

LONGEST_SHOWN: Final = 400
"""Characters of a value that are shown."""


def shown(value: object, limit: int = LONGEST_SHOWN) -> str:
    """Return the `repr` of a value, cut if it is longer than `limit`, or a placeholder if it fails. Raises nothing."""
    is_long = isinstance(value, str | bytes) and len(value) > limit
    try:
        text = repr(value[:limit] if is_long else value)  # type: ignore[index]  # a text
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - user code may raise anything
        return f"<{type(value).__name__} that cannot be shown>"
    left_out = len(value) - limit if is_long else len(text) - limit  # type: ignore[arg-type]
    if left_out <= 0:
        return text
    return f"{text if is_long else text[:limit]}… (cut, {left_out} characters)"


def named(value: object, limit: int = LONGEST_SHOWN) -> str:
    """Return the text of an id that a caller asked for, cut as above."""
    if isinstance(value, str):
        return shown(value, limit) if len(value) > limit else value
    try:
        return str(value)[:limit]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as above
        return shown(value, limit)
