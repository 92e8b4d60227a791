"""Ids as text and back, without repeatedly creating the same text or id."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from jobmaster.ids import id_of

_MOST = 16_384
"""Approximate number of ids to remember: a worker reads ahead some thousands."""

_DIGITS: Final = 32
_NOBODY: Final = UUID(int=0)


class IdTexts:
    """Remembers ids in both directions: a job's id is read once and reported once, its bucket's id comes with every row.

    Threads share it without a lock: each step is one operation of a dict. At worst, two of them do the same work.
    """

    def __init__(self, most: int = _MOST) -> None:
        """Forget all ids when there are `most`: that costs less per id than tracking which one is the oldest."""
        self._most = most
        self._uuids: dict[str, UUID] = {}
        self._texts: dict[UUID, str] = {}

    def text_of(self, value: UUID) -> str:
        """Return a UUID's text of 36 characters."""
        return self._texts.get(value) or self._learn(_text(value), value)[0]

    def uuid_of(self, text: str) -> UUID:
        """Return the UUID of a text from `text_of` that a column kept; for a damaged text, an id that nothing has."""
        return self._uuids.get(text) or self._learn(text, _uuid(text))[1]

    def _learn(self, text: str, value: UUID) -> tuple[str, UUID]:
        if len(self._uuids) >= self._most:
            self._uuids, self._texts = {}, {}
        self._uuids[text] = value
        self._texts[value] = text
        return text, value


def _text(value: UUID) -> str:
    """Return `str(value)`, in two thirds of the time."""
    digits = value.int.to_bytes(16, "big").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _uuid(text: str) -> UUID:
    """Return `UUID(text)`, in half the time."""
    try:
        digits = text.replace("-", "")
        return id_of(int(digits, 16)) if len(digits) == _DIGITS else UUID(text)
    except (AttributeError, TypeError, ValueError):
        return uuid5(_NOBODY, repr(text))
