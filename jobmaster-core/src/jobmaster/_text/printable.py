r"""Text for people, from any source: nothing in it moves a cursor, hides, changes direction or begins another line.

The rule for a character, by its Unicode category:

- controls (Cc), lone surrogates (Cs), line and paragraph separators (Zl, Zp) and format characters (Cf) are escaped, as
  Python writes them: `\x1b`, `\u202e`. So are filler letters that show nothing, and tags;
- visible Cf characters are kept: the signs that Arabic, Syriac and Kaithi write around numbers and names;
- a joiner (U+200C, U+200D) is kept after a letter of a script that joins, or an emoji, and a variation selector after a
  character that has variants. Anywhere else they are invisible, and escaped;
- line feed and tab are the output's own layout, and are kept if the output allows them.

Everything else is left unchanged, so that printable text never changes. `for_json` writes the same characters as JSON
escapes, which every parser reads back as the original characters.
"""

from __future__ import annotations

import re
from typing import Final

MARK: Final = "  | "
"""The start of the further lines of a log entry: they cannot be mistaken for separate entries."""

_VISIBLE_FORMATS: Final = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Visible characters of category Cf: not among the unsafe ones below; listed here for the test of the rule."""

_UNSAFE: Final = (
    r"\x00-\x1f\x7f-\x9f\xad"  # controls, soft hyphen
    "\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"  # directions, separators, invisible operators
    "\ud800-\udfff\ufeff\ufff0-\ufffb"  # surrogates, byte order mark, annotations
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # layout of hieroglyphs, shorthand, music
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # tags
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # fillers: letters and marks that show nothing
)
_JOINERS: Final = "\u200c\u200d"
_SELECTORS: Final = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINING: Final = "\u0600-\u1cff\u2190-\u2bff\u2e80-\ud7ff\uf900-\ufdff\ufe20-\ufefe\U00010000-\U000dffff"
"""The ranges of joining scripts, ideographs and emoji: no Latin, Greek or Cyrillic, nor their punctuation."""
_WITH_VARIANTS: Final = f"{_JOINING}0-9#*\xa9\xae\u203c\u2049\u2122\u2139"

_BEHIND: Final = rf"(?<=[{_JOINING}])(?<![{_UNSAFE}{_SELECTORS}])"
_BEHIND_VARIANT: Final = rf"(?<=[{_JOINING}][{_SELECTORS}])(?<![{_UNSAFE}{_SELECTORS}][{_SELECTORS}])"
_VARIANT: Final = rf"(?<=[{_WITH_VARIANTS}])(?<![{_UNSAFE}{_SELECTORS}])"
_ESCAPED: Final = re.compile(
    rf"[{_UNSAFE}]|(?!{_BEHIND}|{_BEHIND_VARIANT})[{_JOINERS}]|(?!{_VARIANT})[{_SELECTORS}]"
)

_NOT_ASCII: Final = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str, keep: str = "\n\t") -> str:
    """Return a text with unsafe characters escaped, except those in `keep`: line feed, tab, or both."""
    if text.isascii() and text.isprintable():
        return text
    return _ESCAPED.sub(lambda found: found[0] if found[0] in keep else _python_escape(found[0]), text)


def on_one_line(text: str) -> str:
    """Return a text for part of a line: line feeds and tabs are escaped as well."""
    return printable(text, keep="")


def as_entry(text: str) -> str:
    """Return a text of one or several lines as one entry of a log: the further lines are marked."""
    return printable(text).replace("\n", f"\n{MARK}")


def marked(text: str) -> str:
    """Return lines that belong to a log entry above them, such as a traceback: all of them are marked."""
    return MARK + as_entry(text)


def indented(text: str, indent: str = "    ") -> str:
    """Return a message with its further lines indented, so that they cannot be mistaken for separate messages."""
    first, *rest = printable(text).split("\n")
    return "\n".join([first, *(line if line.startswith(indent) else indent + line for line in rest)])


def for_json(dumped: str) -> str:
    """Return an equivalent JSON text, with escapes for unsafe characters. Its line feeds are layout."""
    if dumped.isascii() and dumped.isprintable():
        return dumped
    return _ESCAPED.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(found[0]), dumped)


def in_ascii(dumped: str) -> str:
    """Return an equivalent JSON text, with escapes for everything but printable ASCII: no stream changes it."""
    return _NOT_ASCII.sub(lambda found: _json_escape(found[0]), dumped)


def _python_escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _json_escape(char: str) -> str:
    code = ord(char)
    if code < 0x10000:  # noqa: PLR2004 - the end of the plane that one escape can name
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
