"""The pages about the language are held to the code: what they show parses, runs and comes out as they say.

A fence `text from MOMENT [ZONE]` has expressions, each followed by its occurrences, indented. A fence `text error` has
a text and the message it gives. `python` runs. Whatever stands in backquotes in the second column of a recipe
parses, and a cron line in the first column is what it converts to. The tables of hints and of warnings are held to
what the library says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from naturalcron import ConversionError, ParseError, from_cron, parse, to_cron

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "how-to" / "naturalcron-recipes.md"
PAGES = [
    ROOT / "naturalcron" / "README.md",
    ROOT / "docs" / "tutorial" / "naturalcron.md",
    ROOT / "docs" / "reference" / "naturalcron.md",
    RECIPES,
]
FENCE = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def fences(page: Path, language: str, begin: str = "") -> Iterator[tuple[str, str]]:
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        if match[1] == language and match[2].startswith(begin):
            yield match[2], match[3]


@each_page
def test_snippets_run(page: Path) -> None:
    space: dict[str, object] = {}
    for _, body in fences(page, "python"):
        exec(compile(body, page.name, "exec"), space)  # noqa: S102 - our own documentation


def occurrence_cases() -> Iterator[tuple[str, str, list[str]]]:
    for page in PAGES:
        for info, body in fences(page, "text", "from "):
            for block in re.findall(r"^\S.*\n(?: .*\n)*", body, re.MULTILINE):
                text, *expected = block.splitlines()
                yield info, text, [line.strip() for line in expected]


@pytest.mark.parametrize(("info", "text", "expected"), list(occurrence_cases()))
def test_occurrences_are_as_shown(info: str, text: str, expected: list[str]) -> None:
    _, day, clock, *zone = info.split()
    start = datetime.fromisoformat(f"{day} {clock}")
    start = start.replace(tzinfo=ZoneInfo(zone[0])) if zone else start

    assert [
        f"{moment:%a %Y-%m-%d %H:%M}" for moment in parse(text).upcoming(len(expected), start)
    ] == expected


def error_cases() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for _, body in fences(page, "text", "error"):
            text, message = body.rstrip("\n").split("\n", 1)
            yield text, message


@pytest.mark.parametrize(("text", "message"), list(error_cases()))
def test_errors_are_as_shown(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)

    assert str(caught.value) == message


def rows(heading: str) -> list[list[str]]:
    """Return the cells in backquotes of the first table below a heading of the recipes."""
    below = RECIPES.read_text(encoding="utf-8").split(f"{heading} |\n", 1)[1]
    lines = below.split("\n\n", 1)[0].splitlines()[1:]
    return [re.findall(r"`([^`]+)`", line) for line in lines]


def recipes() -> list[str]:
    text = RECIPES.read_text(encoding="utf-8")
    tables = re.findall(r"^\| you want \| write \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [line.split("`")[1] for table in tables for line in table.splitlines()]


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the texts in backquotes of each row of the table with a heading."""
    body = page.read_text(encoding="utf-8").split(f"{heading}\n", 1)[1].split("\n\n", 1)[0]
    return [re.findall(r"`([^`]+)`", line) for line in body.splitlines()[1:]]


@pytest.mark.parametrize("row", table(PAGES[2], "| you say | write |"), ids=lambda row: row[0])
def test_hints_are_as_shown(row: list[str]) -> None:
    said, *proposals = row
    with pytest.raises(ParseError) as caught:
        parse(said)

    hint = str(caught.value).partition("; ")[2]
    assert re.findall(r"'([^']+)'", hint.splitlines()[0]) == proposals
    assert all(map(parse, proposals))


@pytest.mark.parametrize(
    "row", table(PAGES[2], "| written | is read as | else write |"), ids=lambda row: row[0]
)
def test_warnings_are_as_listed(row: list[str]) -> None:
    assert parse(row[0]).warnings
    assert parse(row[-1]).warnings == ()


def test_there_are_recipes() -> None:
    assert len(recipes()) > 30


@pytest.mark.parametrize("text", recipes())
def test_recipes_have_occurrences(text: str) -> None:
    assert parse(text).next(datetime(2024, 1, 1)) is not None


@pytest.mark.parametrize(("line", "text"), rows("cron | NaturalCron"))
def test_cron_lines_are_equivalent(line: str, text: str) -> None:
    start = datetime(2024, 1, 1, 5, 7, 9)

    assert to_cron(parse(text)) == line
    assert from_cron(line).upcoming(20, start) == parse(text).upcoming(20, start)


@pytest.mark.parametrize("text", [row[0] for row in rows("NaturalCron | why")])
def test_what_cron_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(ConversionError):
        to_cron(parse(text))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [one for one in targets if "://" not in one and not (page.parent / one).exists()]

    assert missing == []


@pytest.mark.parametrize("module", sorted((ROOT / "naturalcron" / "src" / "naturalcron").glob("[a-z]*.py")))
def test_every_module_is_in_the_read_me(module: Path) -> None:
    known = {"cursor.py", "model.py", "errors.py", "months.py"}  # named in other words, or too small to be

    assert module.name in known or f"`{module.name}`" in PAGES[0].read_text(encoding="utf-8")
