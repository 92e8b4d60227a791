"""The rule for characters that people do not get to see raw, and that JSON means the same without them."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster._text.printable import (
    _VISIBLE_FORMATS,
    MARK,
    as_entry,
    for_json,
    in_ascii,
    indented,
    marked,
    on_one_line,
    printable,
)

UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
JOINERS = "\u200c\u200d"
HOSTILE = [
    "\x1b]0;owned\x07",  # sets a terminal's title
    "\x1b[2J",
    "\x9b31m",  # the same in one character
    "\x7f",
    "\u202egnp.exe",  # turned around
    "\u2066x\u2069",
    "\u061c",
    "\u200e\u200f",
    "a\u200bb",
    "a\u200db",
    "a\ufe0fb",
    "\ufeff",
    "\xad",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b\x0c\r\x1c\x1d\x1e",
    "\ud800",
    "\udc9b",
    "\U000e0061\U000e0062",  # tags: letters that nobody sees
    "\u3164",
]
HARMLESS = [
    "plain text, 100 %",
    "Zoë, нет, 日本, עברית, العربية, தமிழ்",
    "\u06dd\u0661\u0662",  # a sign that stands around a number
    "\u0645\u06cc\u200c\u062e\u0648",  # Persian joins and parts its letters
    "ക\u0d4d\u200d",  # so does Malayalam
    "👩\u200d💻 ❤\ufe0f\u200d🔥 👋🏽 1\ufe0f\u20e3 🇧🇷",
    "葛\U000e0100",  # a variant of an ideograph
    "\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}",
    "│ ─ → … “x”",
]

texts = st.text(st.characters(codec=None) | st.sampled_from("".join(HOSTILE) + "".join(HARMLESS) + "\n\t\\a"))


def is_unsafe(char: str) -> bool:
    """Whether the rule has a character escaped wherever it stands."""
    by_category = unicodedata.category(char) in UNSAFE and char not in _in_ranges(_VISIBLE_FORMATS) + JOINERS
    return (by_category and not "\u180b" <= char <= "\u180f") or char in FILLERS


def _in_ranges(pattern: str) -> str:
    first, last = "\u0600", "\u0605"
    return pattern.replace(f"{first}-{last}", "".join(map(chr, range(ord(first), ord(last) + 1))))


def test_the_rule_is_that_of_the_categories() -> None:
    harmless = []
    for char in map(chr, range(sys.maxunicode + 1)):
        if is_unsafe(char):
            assert on_one_line(char) == char.encode("unicode_escape").decode(), hex(ord(char))
        elif unicodedata.category(char) not in {"Mn", "Cn"} and char not in JOINERS + "\u180e":
            harmless.append(char)

    text = "a".join(harmless)
    assert on_one_line(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_hostile_is_escaped(text: str) -> None:
    shown = printable(text)

    assert shown != text
    assert shown.isprintable()


@pytest.mark.parametrize("text", HARMLESS)
def test_what_prints_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert on_one_line(text) == text
    assert for_json(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)


@given(text=texts)
def test_nothing_unsafe_is_left(text: str) -> None:
    assert not any(map(is_unsafe, on_one_line(text)))
    assert not any(is_unsafe(char) for char in printable(text) if char not in "\n\t")
    assert printable(printable(text)) == printable(text)


@given(text=texts)
def test_text_without_it_is_unchanged(text: str) -> None:
    calm = "".join(char for char in text if char.isprintable() and not is_unsafe(char) and char != "\ufe0f")
    if not any(unicodedata.category(char) == "Mn" for char in calm):
        assert printable(calm) == calm


@given(text=texts)
def test_lines_begin_where_the_output_begins_them(text: str) -> None:
    assert len(on_one_line(text).splitlines()) <= 1
    assert all(line.startswith(MARK) for line in as_entry(text).splitlines()[1:])
    assert all(line.startswith(MARK) for line in marked(text).splitlines())
    assert all(line.startswith("    ") for line in indented(text).splitlines()[1:])


def paired(text: str) -> str:
    """Return a text in which two surrogates that make a character are that: JSON cannot tell them apart."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


whole = texts.map(paired)


@given(value=st.dictionaries(whole, st.lists(whole, max_size=2), max_size=3))
def test_json_means_the_same(value: object) -> None:
    for dumped in (json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent=2)):
        for written in (for_json(dumped), in_ascii(dumped)):
            assert json.loads(written) == value
            assert not any(is_unsafe(char) for char in written if char != "\n")
        assert in_ascii(dumped).isascii()
