"""Text to tokens.

Blanks, `;`, tabs and line ends separate words. `, : - + [ ]` are tokens. A change between digits and letters
separates, too (`10am`), but an ordinal that is glued to a weekday stays one word (`1stMonday`). What follows `tz`
is read whole up to the next blank, since zone ids contain digits and dashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from naturalcron.errors import ErrorCode, ParseError, Problem, quoted, split_lines
from naturalcron.words import CLAUSES, WEEKDAY_WORDS, WORDS, Kind, Word

_PUNCTUATION: Final = {
    ",": Kind.COMMA,
    ":": Kind.COLON,
    "-": Kind.DASH,
    "+": Kind.PLUS,
    "[": Kind.OPEN,
    "]": Kind.CLOSE,
}
_NO_WORD: Final = re.escape("""(){}%$#^=!<>?|\\"'.""")
_TOKEN: Final = re.compile(
    rf"""
    [\s;]*+
    (?:
      (?P<nth> [0-9]+ (?:st|nd|rd|th) (?:{"|".join(WEEKDAY_WORDS)}) (?![a-z]) )
    | (?P<number> [0-9]+ )
    | (?P<punctuation> [,:\-+\[\]] )
    | (?P<bad> [{_NO_WORD}] )
    | (?P<word> [^\s;,:\-+\[\]{_NO_WORD}0-9]+ )
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ZONE_ID: Final = re.compile(r"[\s;,]*+ (?P<zone> [^\s;,]+ )", re.VERBOSE)
MOST_FAULTS: Final = 20
"""Problems told of one text: more help nobody, and a long text of nonsense has to stay cheap."""
_MOST_DIGITS: Final = 18
"""Longer numbers are out of every range; they are cut so that reading them stays cheap."""


class Token(NamedTuple):
    """A word, number or sign of the text. `start` and `end` are offsets into it, `end` exclusive."""

    kind: Kind
    text: str
    value: object
    start: int
    end: int

    def touches(self, after: Token) -> bool:
        """Say whether the other token follows without a blank."""
        return self.end == after.start


class Fault(Exception):  # noqa: N818 - internal, and never leaves the parser
    """Something wrong between two offsets of the text; it becomes a `Problem` once lines are counted."""

    def __init__(self, code: ErrorCode, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.code, self.message, self.start, self.end = code, message, start, end

    def located(self, text: str) -> Problem:
        """Return the problem with its line and columns."""
        before = split_lines(text[: self.start])
        line, column = len(before), len(before[-1]) + 1
        room = len(split_lines(text)[line - 1]) + 1 - column
        width = max(1, min(self.end - self.start, room))
        return Problem(self.code, self.message, line, column, column + width)


def fail(text: str, faults: list[Fault]) -> ParseError:
    """Return the error that tells of all faults."""
    return ParseError(text, [fault.located(text) for fault in faults[:MOST_FAULTS]])


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a text, the last of them `END`; raises `ParseError` naming all unknown words."""
    tokens: list[Token] = []
    faults: list[Fault] = []
    match = _TOKEN.match(text)
    while match is not None and len(faults) < MOST_FAULTS:
        found = _READERS[match.lastgroup or ""](match)
        if isinstance(found, Token):
            tokens.append(found)
        else:
            faults.append(found)
        is_zone = bool(tokens) and tokens[-1].kind is Kind.ZONE
        match = (_ZONE_ID if is_zone else _TOKEN).match(text, match.end())
    if faults:
        raise fail(text, faults)
    return [*tokens, Token(Kind.END, "", None, len(text), len(text))]


def _zone(match: re.Match[str]) -> Token:
    return Token(Kind.ZONE_ID, match["zone"], match["zone"], *match.span("zone"))


def _number(match: re.Match[str]) -> Token:
    text = match["number"]
    return Token(Kind.NUMBER, text, int(text[:_MOST_DIGITS]), *match.span("number"))


def _sign(match: re.Match[str]) -> Token:
    text = match["punctuation"]
    return Token(_PUNCTUATION[text], text, None, *match.span("punctuation"))


def _bad(match: re.Match[str]) -> Fault:
    message = f"{match['bad']!r} has no meaning here"
    return Fault(ErrorCode.UNKNOWN_TOKEN, message, *match.span("bad"))


def _word(match: re.Match[str]) -> Token | Fault:
    group = match.lastgroup or ""
    text = match[group]
    known = _lookup(text)
    if known is None:
        return Fault(ErrorCode.UNKNOWN_TOKEN, _unknown(text), *match.span(group))
    return Token(known.kind, text, known.value, *match.span(group))


def _lookup(text: str) -> Word | None:
    lowered = text.lower()
    known = WORDS.get(lowered) if text.isascii() else None
    if known is None and lowered.startswith("@"):
        clause = WORDS.get(lowered[1:])
        return clause if clause and clause.kind in CLAUSES else None
    return known


def _unknown(text: str) -> str:
    bare = text.removeprefix("@")
    if bare.lower() in WORDS:
        return f"'@' may stand before the words that begin a clause, not before {bare!r}"
    if "/" in bare.strip("/"):
        return f"unknown word {quoted(text)}; a time zone follows 'tz': 'tz {bare}'"
    return f"unknown word {quoted(text)}"


_READERS: Final[dict[str, Callable[[re.Match[str]], Token | Fault]]] = {
    "zone": _zone,
    "nth": _word,
    "number": _number,
    "punctuation": _sign,
    "bad": _bad,
    "word": _word,
}
