"""The documentation is held to the code: names, tables, links and snippets.

A fence says what becomes of it:

* `python` runs, in the order of the page, in one namespace. From the first `await` on, it runs inside the page's
  own `cluster`, with `runtime` and `s`, its scheduler, at hand.
* `python file: NAME` is written to a file (README and tutorial).
* `console` is a session: what follows `$ ` runs, and what follows that is what it prints.
  `console second terminal` runs in the background until the page ends.
* `python not-run: REASON` only has to parse, to import what exists, and to use settings that exist.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from attrs import fields_dict

import jobmaster
from jobmaster import errors, handlers, hookspecs, inspection
from jobmaster.config import AgentSettings, Settings, WorkerSettings
from jobmaster.contracts import AgentRepository, Capabilities, MasterRepository
from jobmaster.hookspecs import JobObserver
from jobmaster.states import (
    BUCKET_TRANSITIONS,
    JOB_TRANSITIONS,
    OUTCOME_STATUSES,
    AttemptOutcome,
    BucketStatus,
    ClusterMode,
    CodedEnum,
    JobStatus,
    Overlap,
    Priority,
    ScheduleStatus,
    WorkerMode,
    WorkerRequest,
    WorkerStatus,
)

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("jobmaster-*/*.md"),
        *ROOT.glob("benchmarks/*.md"),
        *ROOT.glob("tests/*/*.md"),
        *DOCS.rglob("*.md"),
    ]
)
SESSIONS = [ROOT / "README.md", DOCS / "tutorial.md", DOCS / "how-to" / "test-your-handlers.md"]

_FENCE = re.compile(r"^```(\w*)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_BUILD_MACHINE = re.compile(r"/(?:root|home|work|tmp|Users)/|site-packages")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


class Fence(NamedTuple):
    language: str
    info: str
    body: str
    line: int

    @property
    def is_run(self) -> bool:
        return not self.info.startswith("not-run:")

    @property
    def file(self) -> str | None:
        return self.info.removeprefix("file: ") if self.info.startswith("file: ") else None


def fences(page: Path, language: str | None = None) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    found = [Fence(m[1], m[2].strip(), m[3], text.count("\n", 0, m.start(3))) for m in _FENCE.finditer(text)]
    return [fence for fence in found if language in (None, fence.language)]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


# Links


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(prose(page)):
        plain = _LINK.sub(r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def links(page: Path) -> list[tuple[str, str]]:
    """Return (text, target) of the links to this repository's own files."""
    return [(text, target) for text, target in _LINK.findall(prose(page)) if "://" not in target]


def broken(page: Path, target: str) -> str | None:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target}: there is no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return f"{target}: there is no such heading (available: {', '.join(sorted(anchors(file)))})"
    return None


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    assert [why for _, target in links(page) if (why := broken(page, target))] == []


@each_page
def test_tests_that_are_named_exist(page: Path) -> None:
    missing = [
        text
        for text, target in links(page)
        if text.startswith("`test_") and not _defines((page.parent / target).resolve(), text.strip("`"))
    ]

    assert missing == []


def test_each_test_of_a_rule_of_security_exists() -> None:
    folders = [
        folder for folder in ROOT.iterdir() if folder.name.startswith(("jobmaster-", "naturalcron", "tests"))
    ]
    texts = [file.read_text(encoding="utf-8") for folder in folders for file in folder.rglob("*.py")]
    there = {name for text in texts for name in re.findall(r"def (test_\w+)\(", text)}
    named = re.findall(r"`(test_\w+)`", (DOCS / "explanation" / "security.md").read_text(encoding="utf-8"))

    assert named
    assert sorted(set(named) - there) == []


def _defines(file: Path, name: str) -> bool:
    return re.search(rf"\bdef {name}\(", file.read_text(encoding="utf-8")) is not None


def test_every_page_can_be_reached() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        reached.add(page)
        targets = {(page.parent / target.partition("#")[0]).resolve() for _, target in links(page)}
        todo += [target for target in targets if target.suffix == ".md" and target not in reached]

    assert [name_of(page) for page in DOCS.rglob("*.md") if page not in reached] == []


@each_page
def test_no_page_tells_of_the_machine_it_was_written_on(page: Path) -> None:
    assert _BUILD_MACHINE.findall(page.read_text(encoding="utf-8")) == []


# Snippets: what they name exists


def parsed(page: Path) -> Iterator[ast.Module]:
    for fence in fences(page, "python"):
        yield ast.parse("\n" * fence.line + fence.body, name_of(page))


@each_page
def test_a_snippet_that_does_not_run_says_why(page: Path) -> None:
    unknown = [
        fence.info
        for fence in fences(page, "python")
        if fence.info and not re.fullmatch(r"not-run: .+|file: \w+\.py", fence.info)
    ]

    assert unknown == []


@each_page
def test_snippets_import_what_exists(page: Path) -> None:
    wanted = [
        (node.module, alias.name)
        for tree in parsed(page)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jobmaster")
        for alias in node.names
    ]

    assert [f"{module}.{name}" for module, name in wanted if not _offers(module or "", name)] == []


def _offers(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name)


@each_page
def test_snippets_use_settings_that_exist(page: Path) -> None:
    known = {
        "configure": fields_dict(Settings),
        "add_agent": fields_dict(AgentSettings),
        "add_worker": fields_dict(WorkerSettings),
    }
    unknown = [
        f"{node.func.attr}({keyword.arg}=)"
        for tree in parsed(page)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in known
        for keyword in node.keywords
        if keyword.arg is not None and keyword.arg not in known[node.func.attr]
    ]

    assert unknown == []


# Snippets: they run

RUNNABLE = [
    page for page in PAGES if page not in SESSIONS and any(fence.is_run for fence in fences(page, "python"))
]


@pytest.fixture
def own_loggers() -> Iterator[None]:
    """Undo what a page's snippets do to JobMaster's loggers, which all tests of a process share."""
    loggers = [one for name, one in logging.root.manager.loggerDict.items() if name.startswith("jobmaster")]
    found = [(one, one.level, list(one.filters)) for one in loggers if isinstance(one, logging.Logger)]
    yield
    for logger, level, filters in found:
        logger.setLevel(level)
        logger.filters[:] = filters


@pytest.mark.anyio
@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
@pytest.mark.usefixtures("own_loggers")
async def test_snippets_run(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(handlers, "_registered", {})
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": page.stem}
    async with AsyncExitStack() as stack:
        for fence in fences(page, "python"):
            if fence.is_run:
                await _run(page, fence, space, stack)


async def _run(page: Path, fence: Fence, space: dict[str, Any], stack: AsyncExitStack) -> None:
    source, flags = "\n" * fence.line + fence.body, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, name_of(page), "exec", flags=flags, dont_inherit=True)
    waits = bool(code.co_flags & inspect.CO_COROUTINE)
    if waits and "runtime" not in space:
        runtime = await stack.enter_async_context(space["cluster"].running())
        space |= {"runtime": runtime, "s": runtime.scheduler}
    result = eval(code, space)  # noqa: S307 - our own documentation
    if waits:
        await result


# Sessions: files and commands of a page, as a reader would enter them


class Command(NamedTuple):
    words: list[str]
    prints: str


def commands(session: str) -> Iterator[Command]:
    """Return the commands of a console fence, each with what it prints."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(shlex.split(line), output.strip())


class Terminal:
    """Runs commands in a folder, with this environment's Python first on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200"}

    def run(self, command: Command) -> None:
        done = subprocess.run(
            command.words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if command.prints:
            assert done.stdout.strip() == command.prints

    @contextmanager
    def background(self, command: Command) -> Iterator[None]:
        """Run a command within the block, then ask it to stop as a service manager would."""
        process = subprocess.Popen(
            command.words,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=30)
            assert process.returncode == 0, output


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", SESSIONS, ids=name_of)
def test_sessions_run(page: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    with ExitStack() as stack:
        for fence in fences(page):
            if fence.file:
                (tmp_path / fence.file).write_text(fence.body, encoding="utf-8")
            elif fence.language == "console":
                for command in commands(fence.body):
                    if fence.info == "second terminal":
                        stack.enter_context(terminal.background(command))
                    else:
                        terminal.run(command)


@pytest.mark.parametrize("page", SESSIONS, ids=name_of)
def test_sessions_leave_no_snippet_out(page: Path) -> None:
    assert [fence.info for fence in fences(page, "python") if fence.is_run and not fence.file] == []


# Tables and lists: as in the code


def test_make_targets_are_documented() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)) - {"help"}
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert set(re.findall(r"`?make ([a-z]+)\b", contributing)) == targets


def test_the_files_of_core_are_in_the_architecture() -> None:
    core = ROOT / "jobmaster-core" / "src" / "jobmaster"
    shown = {(ROOT / target).resolve() for _, target in links(ROOT / "ARCHITECTURE.md")}
    parts = {file for file in core.iterdir() if not file.name.startswith("__") and file.suffix != ".typed"}

    assert sorted(file.name for file in parts - shown) == ["version.py"]


def table(page: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading of a reference page."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    after = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    rows = re.search(r"^\|.*?\n\n", f"{after}\n\n", re.MULTILINE | re.DOTALL)
    assert rows is not None
    cells = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in rows[0].splitlines() if line]
    return [[cell.strip() for cell in row] for row in cells[2:]]


def column(page: str, heading: str, number: int = 0) -> list[str]:
    return [row[number].strip("`") for row in table(page, heading)]


def names_in(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def first_columns(page: str) -> list[str]:
    """Return the first cells of all tables of a reference page, as they are in backquotes."""
    return re.findall(r"^\| `(\w+)`", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE)


def hooks() -> Mapping[str, Any]:
    return {name: spec for name, spec in vars(hookspecs).items() if name.startswith("jobmaster_")}


def test_hooks_are_documented() -> None:
    documented = re.findall(
        r"^### `(\w+)`$", (REFERENCE / "hooks.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert documented == list(hooks())


def signatures(tree: ast.Module) -> Mapping[str, str]:
    """Return the parameters and the result of the functions at the top of a module, as text."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name: f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns or node)}" for node in found}


def test_hooks_have_the_documented_signatures() -> None:
    code = signatures(ast.parse(inspect.getsource(hookspecs)))
    documented = {
        name: text for tree in parsed(REFERENCE / "hooks.md") for name, text in signatures(tree).items()
    }

    assert documented == {name: code[name] for name in hooks()}


def test_observers_are_documented() -> None:
    assert table_of_calls("hooks.md", "`jobmaster_observer`") == parameters_of(JobObserver)


def parameters_of(cls: type[Any]) -> Mapping[str, list[str]]:
    """Return the public methods of a class, without those it inherits, with the names of their parameters."""
    methods = {name: member for name, member in vars(cls).items() if not name.startswith("_")}
    return {
        name: [] if isinstance(member, property) else list(inspect.signature(member).parameters)[1:]
        for name, member in methods.items()
        if callable(member) or isinstance(member, property)
    }


def table_of_calls(page: str, heading: str) -> Mapping[str, list[str]]:
    calls = [re.fullmatch(r"(\w+)(?:\((.*)\))?", cell) for cell in column(page, heading)]
    return {call[1]: [name for name in (call[2] or "").split(", ") if name] for call in calls if call}


@pytest.mark.parametrize(
    "part", [*MasterRepository.__bases__, AgentRepository], ids=lambda part: part.__name__
)
def test_contract_methods_are_documented(part: type[Any]) -> None:
    heading = "Agent" if part is AgentRepository else part.__name__

    assert table_of_calls("contracts.md", heading) == parameters_of(part)


def test_capabilities_are_documented_with_their_defaults() -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in table("contracts.md", "Capabilities")}

    assert documented == {name: str(field.default) for name, field in fields_dict(Capabilities).items()}


@pytest.mark.parametrize(
    ("heading", "settings"), [("Settings", Settings), ("Agents", AgentSettings), ("Workers", WorkerSettings)]
)
def test_settings_are_documented(heading: str, settings: type[Any]) -> None:
    assert column("configuration.md", heading) == list(fields_dict(settings))


def public_names(package: ModuleType) -> set[str]:
    imports = [
        node for node in ast.walk(ast.parse(inspect.getsource(package))) if isinstance(node, ast.ImportFrom)
    ]
    return {alias.asname for node in imports for alias in node.names if alias.asname}


@pytest.mark.parametrize(("page", "package"), [("api.md", jobmaster), ("inspection.md", inspection)])
def test_public_names_are_documented_once(page: str, package: ModuleType) -> None:
    assert sorted(first_columns(page)) == sorted(public_names(package))


def error_classes() -> Mapping[str, str]:
    found = [
        cls for cls in vars(errors).values() if inspect.isclass(cls) and cls.__module__ == errors.__name__
    ]
    return {cls.__name__: cls.__bases__[0].__name__ for cls in found}


def test_errors_are_documented_with_their_bases() -> None:
    rows = table("errors.md", "Errors") + table("errors.md", "Control flow for handlers")

    assert {row[0].strip("`"): row[1].strip("`") for row in rows} == error_classes()


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    tree = next(fence.body for fence in fences(REFERENCE / "errors.md", ""))
    in_code = re.search(r"^JobMasterError\n(?:[├└│].*\n)+", inspect.getsource(errors), re.MULTILINE)

    assert in_code is not None
    assert tree == re.sub(r"(\w) {2,}.*", r"\1", in_code[0])


@pytest.mark.parametrize(
    ("heading", "states"),
    [
        ("Job status", JobStatus),
        ("Attempt outcome", AttemptOutcome),
        ("Bucket status", BucketStatus),
        ("Worker status", WorkerStatus),
        ("Worker request", WorkerRequest),
        ("Schedule status", ScheduleStatus),
        ("Overlap", Overlap),
        ("Cluster mode", ClusterMode),
    ],
)
def test_states_are_documented_with_their_codes(heading: str, states: type[CodedEnum]) -> None:
    documented = [(row[0].strip("`"), row[1]) for row in table("states.md", heading)]

    assert documented == [(state.value, str(state.code)) for state in states]


def test_terminal_states_are_documented() -> None:
    documented = {row[0].strip("`"): row[2] == "yes" for row in table("states.md", "Job status")}

    assert documented == {status.value: status.is_terminal for status in JobStatus}


def test_priorities_are_documented_with_their_slots() -> None:
    documented = [(*names_in(row[0]), row[1], row[2]) for row in table("states.md", "Priority")]

    assert documented == [(p.name, str(p.value), str(p.slots)) for p in Priority]


def test_duties_of_worker_modes_are_documented() -> None:
    rows = [row[1:] for row in table("states.md", "Worker mode")]
    duties = [[mode.executes, mode.coordinates, mode.rescues] for mode in WorkerMode]

    assert [[row[place] == "yes" for row in rows] for place in range(len(WorkerMode))] == duties


@pytest.mark.parametrize(
    ("heading", "place", "transitions"),
    [
        ("Allowed transitions", 1, JOB_TRANSITIONS),
        ("Allowed bucket transitions", 1, BUCKET_TRANSITIONS),
        ("Attempt outcome", 3, OUTCOME_STATUSES),
    ],
)
def test_transitions_are_documented(
    heading: str, place: int, transitions: Mapping[Enum, frozenset[Enum]]
) -> None:
    documented = {row[0].strip("`"): names_in(row[place]) for row in table("states.md", heading)}

    assert documented == {
        before.value: {after.value for after in allowed} for before, allowed in transitions.items()
    }


def test_the_picture_of_a_jobs_life_shows_allowed_transitions_only() -> None:
    picture = next(fence.body for fence in fences(DOCS / "explanation" / "lifecycle.md", "mermaid"))
    shown = re.findall(r"^ +(\w+) --> (\w+)", picture, re.MULTILINE)

    assert shown
    assert [pair for pair in shown if JobStatus(pair[1]) not in JOB_TRANSITIONS[JobStatus(pair[0])]] == []
