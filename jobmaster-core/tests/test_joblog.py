"""A job's logger: whatever its lines are made of, they are kept as text that every store takes, and nothing is raised."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum, StrEnum
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import JobContext, handler
from jobmaster._logs.joblog import (
    LONGEST_FIELD,
    LONGEST_MESSAGE,
    LONGEST_TRACEBACK,
    MAX_LOG_LINES,
    MOST_CHARACTERS,
    MOST_FIELDS,
    JobLogger,
)
from jobmaster.cli.logs import JsonFormatter, TextFormatter
from jobmaster.context import captured_lines
from jobmaster.models import LogLine
from jobmaster_testing import make_context


@handler("Logging")
async def logging_job(_: JobContext) -> None: ...


@pytest.fixture
def job() -> JobContext:
    return make_context(logging_job)


class Unguarded(logging.Handler):
    """A handler that formats without a net, as applications write them, in each of our formats."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.objects: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        extra = vars(record).keys() - vars(logging.makeLogRecord({})).keys()
        assert all(f"{vars(record)[name]!s}{vars(record)[name]!r}" != "none" for name in extra)
        self.texts.append(TextFormatter().format(record))
        self.objects.append(json.loads(JsonFormatter().format(record)))


@pytest.fixture
def seen() -> Iterator[Unguarded]:
    logger, unguarded = logging.getLogger("jobmaster.job"), Unguarded()
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(unguarded)
    yield unguarded
    logger.removeHandler(unguarded)
    logger.setLevel(before)


class Odd(BaseException):
    """What no method should raise."""


class Broken:
    """Fails however it is looked at."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    def __repr__(self) -> str:
        raise self.error

    def __format__(self, _: str) -> str:
        raise self.error

    def __bool__(self) -> bool:
        raise self.error

    def __hash__(self) -> int:
        return 1

    def __eq__(self, _: object) -> bool:
        raise self.error


class Key(Broken):
    """Can be a name in a mapping, and fails when it is shown."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class BrokenMapping(Mapping[str, object]):
    """A mapping whose lookup, length and names fail."""

    def __getitem__(self, _: str) -> object:
        raise RuntimeError("detached")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("detached")

    def __len__(self) -> int:
        raise RuntimeError("detached")


class WrongText:
    """Returns no text where text is due, and lies about its class."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307 - it is wrong

    __repr__ = __str__

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("no class")


class Sly(str):
    """Text whose methods are anybody's."""

    __slots__ = ()

    def __str__(self) -> str:
        return self

    def __mod__(self, _: object) -> Any:
        raise RuntimeError("no formatting")

    def replace(self, *_: Any) -> Any:
        raise RuntimeError("no replacing")

    def isascii(self) -> bool:
        raise RuntimeError("no looking")


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


ERRORS = (RuntimeError, Odd, SystemExit, GeneratorExit, RecursionError)
texts = st.text(st.characters(), max_size=30)  # NUL and lone surrogates too


class Maker:
    """Makes one of the odd ones for the test alone: hypothesis looks at what it draws."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


def built(drawn: object) -> object:
    return drawn.make() if type(drawn) is Maker else drawn


broken = [Maker(partial(lambda kind: Broken(kind()), kind)) for kind in ERRORS]
holding = [Maker(partial(lambda kind: [Broken(kind())], kind)) for kind in ERRORS]
wrong: Sequence[Callable[[], object]] = (
    BrokenMapping,
    WrongText,
    lambda: {"a": Broken(Odd())},
    lambda: Odd,
    lambda: Sly("sly"),
    lambda: Colour.RED,
    lambda: Number.ONE,
    lambda: 10**5000,
    lambda: 2**63,
    lambda: -(2**63) - 1,
)
objects = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.binary(max_size=10),
    st.sampled_from([*broken, *holding, *map(Maker, wrong)]),
)
messages = st.one_of(texts, st.sampled_from(["%s", "%d", "%(a)s", "%s %s", "100%", "%"]), objects)
names = st.one_of(
    texts,
    st.integers(),
    st.none(),
    st.sampled_from(["name", "msg", "args", "job_id", "exception", "time"]),
    st.sampled_from([Maker(lambda: Key(Odd())), Maker(lambda: Sly("sly"))]),
)
extras = st.one_of(st.none(), st.lists(st.tuples(names, objects), max_size=4), objects)


def is_storable(line: LogLine) -> bool:
    """Whether text columns of every database take a line as it is."""
    parts = [line.level, line.message, *line.fields, *(v for v in line.fields.values() if isinstance(v, str))]
    return all("\0" not in part and part.encode("utf-8").decode() == part for part in parts)


@given(messages, st.lists(objects, max_size=3), extras, st.sampled_from([10, 20, 30, 35]))
def test_whatever_a_line_is_made_of_it_is_kept_and_passed_on(
    msg: object, args: list[object], extra: object, level: int
) -> None:
    if isinstance(extra, list):
        extra = {built(name): built(value) for name, value in extra}
    job, unguarded = make_context(logging_job), Unguarded()
    logger = logging.getLogger("jobmaster.job")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(unguarded)
    try:
        job.logger.log(level, built(msg), *map(built, args), extra=built(extra))
    finally:
        logger.removeHandler(unguarded)
        logger.setLevel(logging.NOTSET)

    assert len(unguarded.texts) == len(unguarded.objects) == 1
    assert unguarded.objects[0]["job_id"] == str(job.id)
    lines = captured_lines(job)
    assert len(lines) == (level >= logging.INFO)
    for line in lines:
        assert is_storable(line)
        json.dumps(line.fields, allow_nan=False)


def test_an_object_that_cannot_be_shown_leaves_the_rest_readable(job: JobContext, seen: Unguarded) -> None:
    broken = Broken(RuntimeError("detached"))
    job.logger.info("saved %s of %d", broken, 3, extra={"row": broken, "rows": 3, "kind": Colour.RED})

    [line] = captured_lines(job)
    assert line.message == "saved <Broken that cannot be shown: RuntimeError> of 3"
    shown = "<Broken that cannot be shown: RuntimeError>"
    assert line.fields == {"row": shown, "rows": 3, "kind": "red"}
    assert seen.objects[0]["message"] == line.message
    assert (seen.objects[0]["row"], seen.objects[0]["rows"]) == (shown, 3)


def test_a_line_names_its_job_in_both_formats(job: JobContext, seen: Unguarded) -> None:
    job.logger.warning("slow")
    logging.getLogger("jobmaster.job").warning("no job's")

    assert seen.texts[0].endswith(f" WARNING jobmaster.job: slow [Logging {job.id} attempt 1]")
    assert seen.texts[1].endswith(" WARNING jobmaster.job: no job's")
    assert seen.objects[0]["definition_id"] == "Logging"


def test_names_that_are_taken_are_kept_beside_them(job: JobContext, seen: Unguarded) -> None:
    extra: dict[Any, object] = {"name": "Ann", "job_id": "mine", 5: "five", "time": "noon"}
    job.logger.info("hello", extra=extra)

    [line] = captured_lines(job)
    assert line.fields == {"name": "Ann", "job_id": "mine", "5": "five", "time": "noon"}
    found = seen.objects[0]
    assert {name: found[name] for name in ("name_", "job_id_", "5", "time_")} == {
        "name_": "Ann", "job_id_": "mine", "5": "five", "time_": "noon",
    }  # fmt: skip
    assert found["job_id"] == str(job.id)


def fail() -> None:
    raise ValueError("inner \0 \ud800")


@pytest.mark.alone  # what test processes tell one another cannot hold such text
@pytest.mark.parametrize("how", ["exception", "true", "error", "tuple"])
def test_a_traceback_stays_with_the_attempt(job: JobContext, how: str) -> None:
    try:
        fail()
    except ValueError as error:
        infos = {"exception": True, "true": True, "error": error, "tuple": (ValueError, error, None)}
        log = job.logger.exception if how == "exception" else job.logger.warning
        log("failed", exc_info=infos[how], extra={"exception": "mine"})  # type: ignore[arg-type]

    [line] = captured_lines(job)
    assert line.fields["exception"] == "mine"
    assert ("Traceback (most recent call last):\n" in line.fields["exception_"]) == (how != "tuple")
    assert line.fields["exception_"].endswith("ValueError: inner \\0 \\ud800")
    assert is_storable(line)


def test_without_an_exception_there_is_no_traceback(job: JobContext) -> None:
    job.logger.error("nothing raised", exc_info=True)  # noqa: LOG014 - as happens
    assert [line.fields for line in captured_lines(job)] == [{}]


def test_an_exception_that_cannot_be_shown_is_said_to_be_one(job: JobContext, seen: Unguarded) -> None:
    class UnshowableError(Exception):
        def __str__(self) -> str:
            raise Odd

        def __getattribute__(self, name: str) -> Any:
            raise Odd

    job.logger.error("failed", exc_info=UnshowableError())
    job.logger.info("goes on")

    first, second = captured_lines(job)
    assert first.fields["exception"] == "<traceback that cannot be shown: Odd>"
    assert second.message == "goes on"
    assert seen.objects[-1]["message"] == "goes on"


def test_a_stack_is_that_of_the_caller(job: JobContext, seen: Unguarded) -> None:
    def helper() -> None:
        job.logger.info("here", stack_info=True)
        job.logger.info("there", stack_info=True, stacklevel=2)

    helper()

    here, there = (line.fields["stack"].splitlines()[-2] for line in captured_lines(job))
    assert here.endswith("in helper")
    assert there.endswith("in test_a_stack_is_that_of_the_caller")
    assert [body["stack"].splitlines()[-2] for body in seen.objects] == [here, there]


def test_what_is_cut_says_so(job: JobContext) -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise ValueError("x" * 2 * LONGEST_TRACEBACK)

    job.logger.info("y" * (LONGEST_MESSAGE + 7), extra={"long": "z" * (LONGEST_FIELD + 5)})
    try:
        deep(3)
    except ValueError:
        job.logger.exception("w" * LONGEST_MESSAGE)

    first, second = captured_lines(job)
    assert first.message == "y" * LONGEST_MESSAGE + "… (cut, 7 characters)"
    assert first.fields["long"].endswith("z… (cut, 5 characters)")
    assert second.message == "w" * LONGEST_MESSAGE
    assert second.fields["exception"].startswith("(cut, ")
    assert second.fields["exception"].endswith("x")


def test_lines_beyond_the_first_are_counted(job: JobContext) -> None:
    for number in range(MAX_LOG_LINES + 5):
        job.logger.info("line %d", number)

    *kept, last = captured_lines(job)
    assert [line.message for line in kept] == [f"line {number}" for number in range(MAX_LOG_LINES)]
    assert last.level == "WARNING"
    assert last.message == "5 more lines were not kept: an attempt keeps its first 1000"


class OddText:
    """An object whose text is whatever a test says."""

    def __init__(self, show: Callable[[], Any]) -> None:
        self._show = show

    def __repr__(self) -> str:
        return self._show()  # type: ignore[no-any-return]  # on purpose


def _endless() -> str:
    return _endless()


@pytest.mark.parametrize(
    "odd",
    [
        "x" * 5_000_000,
        b"x" * 5_000_000,
        [["x" * 1000] * 1000],
        OddText(lambda: "x" * 5_000_000),
        OddText(_endless),
        OddText(lambda: 5),
        10**10_000,
        ValueError("x" * 5_000_000),
        dict.fromkeys(range(100_000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_logged_lines_and_fields_are_cut(job: JobContext, odd: object) -> None:
    job.logger.info(odd)
    job.logger.info("%s %r", odd, odd)
    job.logger.info("fields", extra={"odd": odd, "n" * 10_000: odd})
    job.logger.error("exception", exc_info=odd if isinstance(odd, BaseException) else None)

    for line in captured_lines(job):
        assert len(line.message) <= LONGEST_MESSAGE + 50
        assert all(len(str(value)) <= LONGEST_TRACEBACK + 50 for value in line.fields.values())
        assert all(len(name) <= LONGEST_FIELD + 50 for name in line.fields)


def test_fields_beyond_the_first_are_counted(job: JobContext) -> None:
    job.logger.info("many", extra={f"field{number}": number for number in range(10_000)})

    (line,) = captured_lines(job)
    assert line.fields["fields_left_out"] == 10_000 - MOST_FIELDS
    assert [*line.fields][:MOST_FIELDS] == [f"field{number}" for number in range(MOST_FIELDS)]


@given(st.lists(st.integers(0, 2 * LONGEST_MESSAGE), max_size=30), st.integers(0, 200))
def test_all_lines_of_an_attempt_together_are_bounded(sizes: list[int], fields: int) -> None:
    logger = JobLogger({"job_id": "j", "attempt": 1})
    for number, size in enumerate(sizes * 20):
        logger.info("x" * size, extra={f"f{n}": "y" * 1000 for n in range(fields)} if number % 2 else None)

    kept = list(logger.kept())
    total = sum(len(line.message) + sum(map(len, map(str, line.fields.values()))) for line in kept)
    assert total <= MOST_CHARACTERS + 200
    if len(kept) > 1 and "left_out" in kept[-1].fields:
        *lines, last = kept
        assert last.fields["left_out"] == 20 * len(sizes) - len(lines)
        assert "more lines were not kept: an attempt keeps 1000000 characters" in last.message


def test_a_million_lines_cost_a_thousand(job: JobContext) -> None:
    logger = job.logger
    for number in range(1_000_000 // 20):  # the rest is more of the same
        logger.info("line %d", number)

    assert len(captured_lines(job)) == MAX_LOG_LINES + 1
    assert captured_lines(job)[-1].fields["left_out"] == 50_000 - MAX_LOG_LINES


def test_lines_after_the_end_do_not_change_what_was_reported(job: JobContext) -> None:
    job.logger.info("before")
    reported = captured_lines(job)
    job.logger.info("after, from a thread that was left behind")
    assert [line.message for line in reported] == ["before"]


def test_an_interrupt_is_not_swallowed(job: JobContext) -> None:
    with pytest.raises(KeyboardInterrupt):
        job.logger.info("saved %s", Broken(KeyboardInterrupt()))


def test_an_unknown_keyword_is_refused_as_logging_does(job: JobContext) -> None:
    with pytest.raises(TypeError, match="log lines take exc_info, extra, stack_info, stacklevel, not color"):
        job.logger.info("hello", color="red")


def test_formatters_lose_no_line_of_anybody() -> None:
    broken = Broken(Odd())
    record = logging.makeLogRecord({"msg": "saved %s", "args": (broken,), "row": broken, "nan": float("nan")})
    circle: list[object] = []
    circle.append(circle)
    record.circle = circle

    found = json.loads(JsonFormatter().format(record))

    assert found["message"] == "saved <Broken that cannot be shown: Odd>"
    assert (found["row"], found["nan"]) == ("<Broken that cannot be shown: Odd>", "nan")
