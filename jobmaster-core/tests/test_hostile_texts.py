"""Texts of strangers in all that people read: commands, their JSON, errors, the worker's log, the debug log and our own."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from typer.testing import CliRunner, Result

from jobmaster import Cluster, JobContext, handler
from jobmaster._logs.ownlog import LOGGERS
from jobmaster.cli import ExitCode, build_app
from jobmaster.cli.exits import reported_errors
from jobmaster.cli.logs import JsonFormatter, TextFormatter
from jobmaster.cli.output import print_error, print_note, say
from jobmaster.cli.terminal import console, state, table
from jobmaster.errors import InvalidExpressionError, JobMasterError
from naturalcron import ParseError, parse

ROOT = Path(__file__).parents[2]
RAW = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202egnp\u2066\u200b\ufeff\U000e0041"
BREAKS = "\r\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\n"
FORGED = "forged!"
"""What begins a line if a text can."""
UNSAFE = {char for char in RAW if not char.isprintable()}
BAD = RAW + "".join(f"{one}{FORGED}" for one in BREAKS)


@handler("Hostile", max_retries=0)
async def hostile(job: JobContext) -> None:
    job.logger.info("line %s", BAD, extra={f"field{BAD}": BAD})
    error = type(f"Oops{BAD}", (Exception,), {})(f"message {BAD}")
    error.add_note(f"note {BAD}")
    raise error


@handler("Fine")
async def fine(job: JobContext) -> None: ...


def check(text: str) -> None:
    """Hold that nothing in a text acts on a terminal, and that no line of it is forged."""
    assert not UNSAFE & set(text)
    assert not [line for line in text.splitlines() if line.startswith(FORGED)], text
    assert not set(BREAKS) - {"\n"} & set(text)


# Commands


@pytest.fixture(scope="module")
def known() -> list[str]:
    """Return a job's and a schedule's id, and the options that name their cluster, on which all is hostile."""
    url = f"memory://{uuid4().hex}"
    cluster = Cluster("Hostile-1", url).add_worker(name="w1").add_handlers(hostile, fine)

    async def start() -> list[str]:
        async with cluster.running() as runtime:
            options: Any = {"metadata": {f"m{BAD}": f"v{BAD}"}, "key": f"k{BAD}"[:200]}
            data = {f"d{BAD}": [f"x{BAD}", {"y": BAD}], "plain": BAD}
            job = await runtime.scheduler.once_now(hostile, data, **options)
            schedule = await runtime.scheduler.recurring(fine, "every day at 9:00", data, **options)
            await runtime.jobs.wait(job.job_id, timeout=10)
            return [str(job.job_id), str(schedule.schedule_id)]

    found = anyio.run(start)
    return [*found, "--cluster", "Hostile-1", "--master", url]


def run(*arguments: str, encoding: str = "utf-8") -> Result:
    return CliRunner(charset=encoding).invoke(build_app(), arguments)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_no_command_prints_what_acts_on_a_terminal(
    known: Sequence[str], as_json: Sequence[str], encoding: str
) -> None:
    job_id, schedule_id, *where = known
    for command in (
        ["jobs", "show", job_id],
        ["jobs", "list"],
        ["schedules", "show", schedule_id],
        ["schedules", "list"],
        ["status"],
        ["workers", "list", "--all"],
        ["cluster", "show"],
    ):
        result = run(*command, *where, *as_json, encoding=encoding)

        assert result.exit_code == ExitCode.OK, result.exception
        check(result.stdout_bytes.decode(encoding))


def test_json_says_what_was_given(known: Sequence[str]) -> None:
    job_id, _, *where = known
    job = json.loads(run("jobs", "show", job_id, *where, "--json").stdout)

    assert job["metadata"] == {f"m{BAD}": f"v{BAD}"}
    assert job["key"] == f"k{BAD}"[:200]
    assert job["data"]["plain"] == BAD
    assert job["attempts"][0]["error"]["message"] == f"message {BAD}"
    assert job["logs"][0]["message"] == f"line {BAD}"


def test_in_a_terminal_as_well(known: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    job_id, _, *where = known

    shown = run("jobs", "show", job_id, *where).stdout

    assert "\x1b[1m" in shown  # our own styles
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert not (UNSAFE - {"\x1b"}) & set(shown)


def test_what_is_shown_of_a_job_looks_like_nothing_else_of_it(known: Sequence[str]) -> None:
    job_id, _, *where = known

    lines = run("jobs", "show", job_id, *where).stdout.splitlines()

    assert [line.partition("  ")[0] for line in lines if line and not line.startswith(" ")] == [
        *(f"Job {job_id}", "Data", "Metadata", "Attempts", "Attempt", "Traceback of attempt 1", "Logs")
    ]


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "list", f"--no-such{BAD}"],
        [f"no{BAD}"],
        ["jobs", "list", "--limit", BAD],
        ["jobs", "list", "--priority", BAD],
        ["jobs", "list", "--metadata", BAD],
        ["jobs", "list", "--lane", BAD, "--cluster", "x", "--master", "memory://x"],
        ["jobs", "show", BAD, "--cluster", "x", "--master", "memory://x"],
        ["status", "--app", BAD],
        ["status", "--config", BAD],
        ["status", "--cluster", BAD, "--master", "memory://x"],
        ["status", "--cluster", "x", "--master", BAD],
        ["cluster", "set", BAD, "--cluster", "x", "--master", "memory://x"],
        ["worker", "--name", BAD, "--cluster", "x", "--master", "memory://x"],
        ["schedules", "preview", "-e", BAD],
        ["schedules", "preview", "-e", f"every{BAD} day"],
        ["schedules", "preview", "-e", BAD, "--kind", "cron"],
        ["schedules", "preview", "-e", "every day", "--kind", BAD],
        ["schedules", "preview", "-e", "every day", "--zone", BAD],
        ["schedules", "preview", "-e", "every day", "--from", BAD],
    ],
)
def test_no_error_echoes_what_acts_on_a_terminal(command: Sequence[str]) -> None:
    result = run(*command)

    assert result.exit_code in {ExitCode.USAGE, ExitCode.CONFIGURATION, ExitCode.NOT_FOUND}
    assert result.stderr.startswith("error: ")
    check(result.stderr)
    assert all(line.startswith("    ") for line in result.stderr.splitlines()[1:])


def test_an_error_of_anybody_is_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"said {BAD}".replace("\n", ""))
    print_error(f"first {BAD}")
    print_note(f"first {BAD}")
    out = console()
    out.print(f"\nfirst {BAD}", style="bold")
    out.print(table(BAD, [BAD], [[BAD], [state(BAD)]]))

    printed = capsys.readouterr()
    check(printed.out)
    check(printed.err)


def test_tracebacks_of_errors_are_indented(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), reported_errors(debug=True):
        raise type(f"Odd{BAD}", (Exception,), {})(f"message {BAD}")

    text = capsys.readouterr().err
    check(text)
    assert "Traceback (most recent call last):" in text
    assert [line[:6] for line in text.splitlines() if not line.startswith("    ")] == ["error:"]


def test_a_place_in_an_expression_is_marked_where_it_is_shown() -> None:
    error = InvalidExpressionError("natural", "a\x1bb cd", "odd", column=5, end_column=7)

    assert str(error).splitlines()[1:] == ["    a\\x1bb cd", "           ^^"]


def test_so_it_is_by_naturalcron_itself() -> None:
    with pytest.raises(ParseError) as caught:
        parse("every \x1b[2J\u202eday")

    check(str(caught.value))


# Logs


def record(*, raises: bool = True, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"levelname": f"LEVEL{BAD}", "name": f"app{BAD}", **fields})
    error = type(f"Oops{BAD}", (Exception,), {})(f"message {BAD}")
    error.__cause__ = ValueError(BAD)
    made.exc_info = (type(error), error, None) if raises else None
    return made


@pytest.mark.parametrize(
    "fields",
    [
        {"msg": BAD},
        {"msg": "%s", "args": (BAD,)},
        {"msg": BAD, "stack_info": f"Stack{BAD}"},
        {"msg": "x", "exc_text": f"text{BAD}", "raises": False},
        {"msg": BAD, "name": "jobmaster.job", "definition_id": BAD, "job_id": BAD, "attempt": BAD},
    ],
)
def test_an_entry_of_the_workers_log_is_one(fields: dict[str, object]) -> None:
    made = record(**fields)  # type: ignore[arg-type]

    first, *more = TextFormatter().format(made).splitlines()

    check("\n".join([first, *more]))
    assert first.partition(" ")[0].endswith("Z")
    assert all(line.startswith("  | ") for line in more)


def test_a_warning_is_an_entry_of_the_workers_log() -> None:
    """Python writes warnings to stderr, with the text that they quote as it is."""
    code = (
        "import warnings; from jobmaster.cli.logs import LogFormat, LogLevel, set_up_logging; "
        "set_up_logging(LogLevel.INFO, LogFormat.JSON); warnings.warn('a' + chr(27) + '[2J' + chr(10) + 'b')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    [line] = done.stderr.splitlines()
    assert json.loads(line)["logger"] == "py.warnings"


def test_a_traceback_can_be_read() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 // 0
    made = logging.makeLogRecord({"msg": "m", "exc_info": (caught.type, caught.value, caught.tb)})

    _, head, file, *_, last = TextFormatter().format(made).splitlines()

    assert head == "  | Traceback (most recent call last):"
    assert file.startswith("  |   File ")
    assert last == "  | ZeroDivisionError: integer division or modulo by zero"


@pytest.mark.parametrize("made", [record(msg=BAD), record(msg="%s", args=(BAD,), field=BAD, stack_info=BAD)])
def test_a_json_line_is_one_and_says_what_was_given(made: logging.LogRecord) -> None:
    line = JsonFormatter().format(made)

    check(line)
    assert line.isprintable()
    assert json.loads(line)["message"] == BAD
    assert f"message {BAD}" in json.loads(line)["exception"]


@pytest.mark.anyio
async def test_the_debug_log_has_all_of_it_and_nothing_raw(
    cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    async with cluster(hostile).debug_jsonl(tmp_path).running() as runtime:
        receipt = await runtime.scheduler.once_now(hostile, key=f"k{BAD}"[:200])
        await runtime.jobs.wait(receipt.job_id, timeout=10)

    [file] = list(tmp_path.iterdir())  # noqa: ASYNC240 - a moment
    text = file.read_bytes().decode()
    check(text)
    lines = [json.loads(line) for line in text.splitlines()]
    assert f"line {BAD}" in [line["message"] for line in lines]


@pytest.fixture
def application() -> Iterator[io.StringIO]:
    """Return what an application logs that sets up logging of its own, in a format that knows nothing of this."""
    stream = io.StringIO()
    ours = logging.StreamHandler(stream)
    ours.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(ours)
    yield stream
    logging.getLogger().removeHandler(ours)


@pytest.mark.anyio
async def test_what_we_log_ourselves_is_one_entry_in_any_format(
    cluster: Callable[..., Cluster], application: io.StringIO
) -> None:
    async with cluster(hostile).running() as runtime:
        receipt = await runtime.scheduler.once_now(hostile)
        await runtime.jobs.wait(receipt.job_id, timeout=10)
    logging.getLogger("jobmaster.service").warning("the store failed: %s", JobMasterError(BAD))

    kept = [line for line in application.getvalue().split("\n") if "jobmaster.job " not in line]
    ours = [at for at, line in enumerate(kept) if line.startswith(("ERROR jobmaster.", "WARNING jobmaster."))]
    text = "\n".join(kept[ours[0] :])
    check(text)
    assert "  | Traceback (most recent call last):" in text


def test_all_our_loggers_are_covered() -> None:
    sources = [path.read_text() for member in ROOT.glob("*/src") for path in member.rglob("*.py")]
    names = {name for source in sources for name in re.findall(r'getLogger\("(jobmaster[^"]*)"\)', source)}

    assert len(sources) > 100
    assert names - {"jobmaster.job"} == set(LOGGERS)
