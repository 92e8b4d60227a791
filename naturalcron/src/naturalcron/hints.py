"""What to write instead of a text that does not parse, if it is ordinary English: see `english`.

A proposal is only made if it parses, and draws no warning. What else is unknown is a slip of the pen: `advice` looks for
the nearest word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from naturalcron.english import CHOICES, NOTHING, PHRASES, SPELLING, Choice, Replacement

LONGEST: Final = 200
"""Longer texts are nobody's slip; they get no hint."""


def hint_for(text: str, mended: Callable[[str], str | None]) -> str | None:
    """Return what to write instead of a text that does not parse, or None if it is none of the known phrases.

    `mended` returns a text if it is an expression that draws no warning, what to write if that is known, or None.
    """
    if len(text) > LONGEST:
        return None
    plain = _rewritten(" ".join(text.replace("@", "").split()), SPELLING)
    for choice in CHOICES:
        options = [*_options(choice, plain, mended)]
        if options:
            return "write " + ", or ".join(f"'{option}' {meaning}" for option, meaning in options)
    proposal = mended(_rewritten(plain, PHRASES))
    if proposal and proposal != text:
        return f"write '{proposal}'"
    return next((reason for pattern, reason in NOTHING if re.search(pattern, plain, re.IGNORECASE)), None)


def _options(choice: Choice, text: str, mended: Callable[[str], str | None]) -> Iterator[tuple[str, str]]:
    if re.search(choice.pattern, text, re.IGNORECASE):
        for replacement, meaning in choice.options:
            option = mended(
                _rewritten(re.sub(choice.pattern, replacement, text, flags=re.IGNORECASE), PHRASES)
            )
            if option:
                yield option, meaning


def _rewritten(text: str, rules: tuple[tuple[str, Replacement], ...]) -> str:
    for pattern, replacement in rules:
        text = " ".join(re.sub(pattern, replacement, text, flags=re.IGNORECASE).split())
    return text
