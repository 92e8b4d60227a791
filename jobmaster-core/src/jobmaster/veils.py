"""Hiding secrets in the messages of drivers, name services, servers and plug-ins, which quote parts of URLs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from jobmaster.errors import ConfigurationError
from jobmaster.urls import scheme_of, secrets_in

_PART: Final = 4
"""How many consecutive characters of a secret must not be shown."""
_AROUND: Final = "\"'()[]{}<>,.;:\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
"""Characters around a word that do not belong to it."""


class Veil:
    """Hides the secrets of a URL in the messages of a driver, a server or a plug-in."""

    __slots__ = ("__weakref__", "_grams", "_short")

    def __init__(self, secrets: Iterable[str]) -> None:
        """`secrets` are texts of which no part may be shown; they are searched for unchanged and without % codes."""
        values = {form for secret in secrets for form in (secret, unquote(secret)) if form}
        self._grams = {
            _lower(value[at : at + _PART]) for value in values for at in range(len(value) - _PART + 1)
        }
        self._short = {_lower(value) for value in values if len(value) < _PART}

    def text(self, told: str) -> str:
        """Return a text in which every word that shares a part with a secret is replaced by dots."""
        covered = self._covered(told)
        if not any(covered):
            return told
        shown, at = [], 0
        for word in re.finditer(r"\S+", told):
            if any(covered[word.start() : word.end()]):
                start, end = _trimmed(word.group(), word.start(), covered)
                shown += [told[at:start], "…"]
                at = end
        return "".join([*shown, told[at:]])

    def hides(self, told: str) -> bool:
        """Whether a text shows a part of a secret."""
        return any(self._covered(told))

    def cause(self, error: BaseException) -> BaseException | None:
        """Return an error as the cause of another one, or None if it, or one of its causes, shows a part of a secret."""
        return None if any(self.hides(str(one)) or self.hides(repr(one)) for one in _chain(error)) else error

    def _covered(self, told: str) -> bytearray:
        lower, covered = _lower(told), bytearray(len(told))
        for at in range(len(lower) - _PART + 1):
            if lower[at : at + _PART] in self._grams:
                covered[at : at + _PART] = b"\x01" * _PART
        for value in self._short:
            for found in re.finditer(rf"(?<=[\"']){re.escape(value)}(?=[\"'])", lower):
                covered[found.start() : found.end()] = b"\x01" * len(value)
        return covered


NO_SECRETS: Final = Veil([])


def veil_of(url: str, options: Mapping[str, Any] | None = None) -> Veil:
    """Return a veil over the secrets of a URL with a known scheme, and the texts among a provider's own settings."""
    return Veil([*secrets_in(url, [scheme_of(url)]), *_texts(options or {})])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def quoting_nothing(message: str) -> ConfigurationError:
    """Return an error whose message quotes no input: none of its words are hidden, even if a URL contains them."""
    error = ConfigurationError(message)
    error.__dict__["quotes_nothing"] = True
    return error


def quotes_nothing(error: BaseException) -> bool:
    """Whether an error was made by `quoting_nothing`."""
    return bool(error.__dict__.get("quotes_nothing"))


def without_context(error: BaseException) -> None:
    """Remove the context of an error, and of its causes, if they were raised `from None`."""
    for one in _chain(error):
        if one.__suppress_context__ and one.__cause__ is None:
            one.__context__ = None


def _lower(text: str) -> str:
    """Return a text in lower case, with the same number of characters."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(small if len(small := one.lower()) == 1 else one for one in text)


def _trimmed(word: str, start: int, covered: bytearray) -> tuple[int, int]:
    """Return where a word begins and ends without surrounding characters, unless these are part of a secret as well."""
    end = start + len(word)
    while not covered[start] and word[0] in _AROUND:
        start, word = start + 1, word[1:]
    while not covered[end - 1] and word[-1] in _AROUND:
        end, word = end - 1, word[:-1]
    return start, end


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes and contexts, each once."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
