"""Every `jobmaster` command line that the pages and our own messages show is one that the command line takes.

What stands in a `sh` or `console` fence, in a unit file or an image, is parsed as a shell would hand it over. What stands
in backquotes in prose or in a message may leave arguments out, but is a command, and has the options that it shows.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from jobmaster.cli import build_app

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("*/*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "tests").rglob("*.md"),
    ]
    if page.name != "CHANGELOG.md"  # tells of commands as they were
)
SOURCES = sorted(ROOT.glob("jobmaster-*/src/**/*.py"))

_FENCE = re.compile(r"^```(?:sh|console)\b.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_TYPED = re.compile(r"^(?:\$ )?(?:\w+=\S+ )*jobmaster .*$", re.MULTILINE)
_STARTED = re.compile(r"^ExecStart=\S*/(jobmaster .*)$", re.MULTILINE)
_QUOTED = re.compile(r"`((?:\w+=\S+ )*jobmaster [a-z-][^`]*)`")
_LIST = re.compile(r'\["jobmaster",[^\]]*\]')
_SYNOPSIS = re.compile(r"[\[\]|…]")

_PLUG_INS = frozenset({"greet"})
"""Commands that the pages have a plug-in add."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def typed(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for fence in _FENCE.findall(text):
        for line in _TYPED.findall(fence):
            yield line.removeprefix("$ ").partition("  #")[0].partition(" > ")[0].partition(" | ")[0]
    yield from _STARTED.findall(text)
    for words in _LIST.findall(text):
        yield shlex.join(re.findall(r'"([^"]*)"', words))


def quoted(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for line in _QUOTED.findall(_ANY_FENCE.sub("", text) if page.suffix == ".md" else text):
        yield " ".join(line.replace("\\n", " ").replace('"\n', " ").split())


@cache
def root() -> Any:
    return typer.main.get_command(build_app())


def words_of(line: str) -> list[str]:
    words = shlex.split(line)
    return words[words.index("jobmaster") + 1 :]


def problem(line: str) -> str | None:
    """Return why the command line would refuse a line."""
    command, words, context = root(), words_of(line), None
    try:
        while True:
            context = command.make_context(command.name, list(words), parent=context)
            if not hasattr(command, "commands"):
                return None
            command, words = _next(command, context)
    except SystemExit as error:
        return None if error.code == 0 else f"{line}: exit code {error.code}"
    except Exception as error:  # noqa: BLE001 - the library shows no base of its errors
        return f"{line}: {getattr(error, 'message', error)}"


def _next(group: Any, context: Any) -> tuple[Any, list[str]]:
    words = [*context._protected_args, *context.args]
    if not words:
        raise ValueError("it names no command")
    _, command, rest = group.resolve_command(context, words)
    return command, rest


def slip(line: str) -> str | None:
    """Return why a line that may leave things out shows what there is not."""
    command, words = root(), words_of(line)
    options = {option for one in command.params for option in one.opts}
    while hasattr(command, "commands"):
        words = words[next((at for at, word in enumerate(words) if not word.startswith("-")), len(words)) :]
        names = words[0].split("|") if words else []
        if not names:
            is_asked = set(words_of(line)) & options  # as in `jobmaster --version`
            return None if is_asked else f"{line}: it names no command"
        if names[0] in _PLUG_INS:
            return None
        if missing := [name for name in names if name not in command.commands]:
            return f"{line}: there is no command {missing[0]!r}"
        command, words = command.commands[names[0]], words[1:]
    options |= {option for one in command.params for option in one.opts}
    shown = [word.strip("[]|").partition("=")[0] for word in words if word.lstrip("[").startswith("-")]
    unknown = [one for one in shown if one not in options | {"-h", "--help"}]
    return f"{line}: there is no option {unknown[0]!r}" if unknown else None


@pytest.mark.parametrize("page", [page for page in PAGES if list(typed(page))], ids=name_of)
def test_what_is_to_be_typed_is_taken(page: Path) -> None:
    lines = list(typed(page))
    whole = [line for line in lines if not _SYNOPSIS.search(line)]

    assert [why for line in whole if (why := problem(line))] == []
    assert [why for line in lines if (why := slip(line))] == []


@pytest.mark.parametrize("page", [page for page in PAGES if list(quoted(page))], ids=name_of)
def test_what_prose_names_is_there(page: Path) -> None:
    assert [why for line in quoted(page) if (why := slip(line))] == []


def test_what_our_messages_say_is_there() -> None:
    lines = {line for source in SOURCES for line in quoted(source) if "{" not in line and "..." not in line}

    assert lines
    found = [why for line in sorted(lines) if (why := slip(line))]
    assert [why for why in found if not why.endswith("it names no command")] == []  # docstrings name groups


def test_one_way_of_naming_the_cluster_of_a_worker_is_shown() -> None:
    shown = {line for page in PAGES for line in (*typed(page), *quoted(page))}

    assert [line for line in shown if re.search(r"worker [\w.]+:\w", line)] == [
        "jobmaster worker shop.jobs:cluster"  # named once, for those who are used to it
    ]


@pytest.mark.parametrize(
    "line", ["jobmaster status", "jobmaster worker -A app:cluster --name w", "jobmaster jobs list --limit 5"]
)
def test_a_right_line_is_taken(line: str) -> None:
    assert problem(line) is slip(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "jobmaster jobs",
        "jobmaster statsu",
        "jobmaster status --nosuch",
        "jobmaster jobs list --limit many",
        "jobmaster jobs show",
        "jobmaster cluster mode nonsense",
    ],
)
def test_a_wrong_line_is_not(line: str) -> None:
    assert problem(line)
