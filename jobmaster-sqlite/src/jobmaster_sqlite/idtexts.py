"""Ids as text and back, without making the same text, or the same id, again and again."""

from __future__ import annotations

from uuid import UUID

_MOST = 16_384
"""How many ids to remember, about: what a worker reads ahead is some thousands."""


class IdTexts:
    """Remembers ids both ways: a job's is read once and reported once, its bucket's comes with every row.

    Threads share it without a lock: each step is one operation of a dict. At worst two of them do the same work.
    """

    def __init__(self, most: int = _MOST) -> None:
        """Forget everything when there are `most` ids: that costs less for each than to know which is the oldest."""
        self._most = most
        self._uuids: dict[str, UUID] = {}
        self._texts: dict[UUID, str] = {}

    def text_of(self, value: UUID) -> str:
        """Return a UUID's text of 36 characters."""
        return self._texts.get(value) or self._learn(str(value), value)[0]

    def uuid_of(self, text: str) -> UUID:
        """Return the UUID of a text that `text_of` returned, and a column kept; raises `ValueError` if it is none."""
        return self._uuids.get(text) or self._learn(text, UUID(text))[1]

    def _learn(self, text: str, value: UUID) -> tuple[str, UUID]:
        if len(self._uuids) >= self._most:
            self._uuids, self._texts = {}, {}
        self._uuids[text] = value
        self._texts[value] = text
        return text, value
