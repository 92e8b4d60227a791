"""Errors with advice: what may have been meant, tried out before it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

from naturalcron.cronparse import looks_like_cron
from naturalcron.errors import ErrorCode, ParseError, Problem, did_you_mean, split_lines
from naturalcron.hints import LONGEST, hint_for
from naturalcron.words import nearest
from naturalcron.zones import ABBREVIATIONS


class _Parsed(Protocol):
    @property
    def warnings(self) -> tuple[str, ...]: ...


Parse: TypeAlias = Callable[[str], _Parsed]


def advised(error: ParseError, parse: Parse) -> ParseError:
    """Return an error that says what to write instead, where that is known; `parse` raises `ParseError`."""
    text = error.text
    if looks_like_cron(text):
        return _cron_line(text)
    if len(text) > LONGEST:
        return error
    hint = hint_for(text, lambda proposal: _mended(proposal, parse))
    if hint:
        return error.with_hint(hint)
    problems = [_written_out(problem, parse) for problem in error.problems]
    return ParseError(text, [_with_nearest_word(problem, text, parse) for problem in problems])


def _cron_line(text: str) -> ParseError:
    line = text.strip()
    lines = split_lines(text)
    number = next(number for number, one in enumerate(lines) if one.strip())
    column, end = len(lines[number]) - len(lines[number].lstrip()) + 1, len(lines[number].rstrip()) + 1
    message = f"these are the fields of a cron line, not words; from_cron({line!r}) reads them"
    return ParseError(text, [Problem(ErrorCode.CRON_LINE, message, number + 1, column, end)])


def _written_out(problem: Problem, parse: Parse) -> Problem:
    """Return the problem of a range that runs backwards without its proposal, where that is no clear text."""
    if problem.code is not ErrorCode.REVERSED_RANGE or _is_clear(_proposed(problem), parse):
        return problem
    what = problem.message.partition("; ")[0]
    return replace(problem, message=f"{what}; write both parts as a list")


def _proposed(problem: Problem) -> str:
    return problem.message.partition("; write ")[2].strip("'")


def _mended(text: str, parse: Parse) -> str | None:
    """Return a text if it is clear, or the one that writes out its ranges if they run backwards, or None."""
    if _is_clear(text, parse):
        return text
    problems = _problems(text, parse)
    proposed = {_proposed(one) for one in problems if one.code is ErrorCode.REVERSED_RANGE}
    return next((proposal for proposal in proposed if _is_clear(proposal, parse)), None)


def _with_nearest_word(problem: Problem, text: str, parse: Parse) -> Problem:
    """Return a problem with a word that is near to an unknown one, and makes sense in its place."""
    if problem.code is not ErrorCode.UNKNOWN_TOKEN or ";" in problem.message:
        return problem
    lines = text.splitlines(keepends=True)
    line = lines[problem.line - 1] if problem.line <= len(lines) else ""
    before, after = line[: problem.column - 1], line[problem.end_column - 1 :]
    unknown = line[problem.column - 1 : problem.end_column - 1]
    if unknown in ABBREVIATIONS:  # in capitals: in lower case, some are words
        place = ABBREVIATIONS[unknown][1][0]
        return replace(problem, message=f"{problem.message}; a time zone is a place, as in 'tz {place}'")
    for word in nearest(unknown):
        corrected = "".join([*lines[: problem.line - 1], before, word, after, *lines[problem.line :]])
        if all(_is_behind(other, problem) for other in _problems(corrected, parse)):
            return replace(problem, message=problem.message + did_you_mean(word))
    return problem


def _is_behind(other: Problem, one: Problem) -> bool:
    """Say whether another problem lies elsewhere, so that it says nothing about what was corrected here."""
    return (other.line, other.column) > (one.line, one.end_column) or (
        other.code is ErrorCode.UNKNOWN_TOKEN and (other.line, other.end_column) <= (one.line, one.column)
    )


def _is_clear(text: str, parse: Parse) -> bool:
    """Say whether a text parses, and draws no warning: what is proposed must not need a second proposal."""
    try:
        return not parse(text).warnings
    except ParseError:
        return False


def _problems(text: str, parse: Parse) -> tuple[Problem, ...]:
    try:
        parse(text)
    except ParseError as error:
        return error.problems
    return ()
