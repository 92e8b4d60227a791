"""Typed arguments: what annotations may name, what is refused, and what a handler gets."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import anyio
import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import (
    Cluster,
    ConfigurationError,
    InvalidArgumentsError,
    InvalidDataError,
    JobContext,
    JobDefinition,
    JobHandler,
    JobStatus,
    MessageData,
    handler,
)
from jobmaster.handlers import Handler
from jobmaster_testing import run_handler
from jobmaster_testing.probes import Seen

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from fractions import Fraction

    from jobmaster import JobContext as HiddenContext

Build = Callable[..., Cluster]


class Color(Enum):
    RED = 1
    BLUE = "b"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    YES = "yes"
    NO = "no"


class Right(Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Address:
    street: str
    number: int = 1


@dataclasses.dataclass
class Villa(Address):
    pool: bool = True


@dataclasses.dataclass
class Twin:
    street: str
    number: int = 1


@attrs.define
class Person:
    name: str
    home: Address | None = None
    colors: list[Color] = attrs.field(factory=list)
    friends: list[Person] = attrs.field(factory=list)
    extra: Any = None


class Pair(NamedTuple):
    x: int
    at: time = time(0)


class Options(TypedDict, total=False):
    path: Path
    sizes: set[int]


class Model(pydantic.BaseModel):
    when: datetime
    color: Color = Color.RED


OrderId = NewType("OrderId", UUID)
ID = UUID(int=7)

FITTING: list[tuple[Any, Any]] = [
    (UUID, ID),
    (OrderId, ID),
    (Annotated[UUID, "an id"], ID),
    (Decimal, Decimal("1.10")),
    (time, time(9, 30, 0, 1)),
    (Path, Path("a/cat.png")),
    (PurePosixPath, PurePosixPath("/a")),
    (IPv4Address, IPv4Address("10.0.0.1")),
    (Color, Color.BLUE),
    (Level, Level.HIGH),
    (Word, Word.NO),
    (Right, Right.READ | Right.WRITE),
    (Right, Right.WRITE),
    (Literal["a", Color.RED], Color.RED),
    (Address, Address("x", 3)),
    (Address | None, None),
    (Person, Person("Ann", Address("x"), [Color.RED], [Person("Bob")], extra=[Level.LOW])),
    (Pair, Pair(1, time(3))),
    (Options, {"path": Path("x"), "sizes": {1, 2}}),
    (Model, Model(when=datetime(2026, 1, 1, tzinfo=UTC), color=Color.BLUE)),
    (set[int], {1, 2}),
    (frozenset[Color], frozenset({Color.RED})),
    (tuple[int, Path], (1, Path("x"))),
    (tuple[Color, ...], (Color.RED, Color.BLUE)),
    (list[dict[str, list[Address]]], [{"a": [Address("x")]}]),
    (Mapping[str, set[UUID]], {"a": {ID}}),
    (Sequence[Path], (Path("x"),)),
    (Iterable[Path], [Path("x")]),
    (UUID | str, ID),
    (str | UUID, str(ID)),
    (Address | Pair, Pair(3)),
    (Address | Villa, Villa("x")),
    (Color | Path | None, Path("x")),
    (str | Word, Word.YES),
    (list[int], [1, 2]),
    (dict[str, int | None], {"a": None}),
    (timedelta | float, timedelta(1)),
    (date, date(2026, 1, 1)),
    (object, [Color.RED]),
    (Sequence, (1, "a")),
]
"""Annotations, and values that come back just as they are."""

READ: list[tuple[Any, Any, Any]] = [
    (UUID, str(ID), ID),
    (Decimal, "1.10", Decimal("1.10")),
    (Decimal, 1, Decimal(1)),
    (time, "09:30", time(9, 30)),
    (Path, "cat.png", Path("cat.png")),
    (Color, "RED", Color.RED),
    (Color, "b", Color.BLUE),
    (Level, 2, Level.HIGH),
    (Right, 3, Right.READ | Right.WRITE),
    (Address, {"street": "x"}, Address("x")),
    (
        Person,
        {"name": "Ann", "home": {"street": "x"}, "colors": ["RED"]},
        Person("Ann", Address("x"), [Color.RED]),
    ),
    (Pair, [1, "03:00"], Pair(1, time(3))),
    (Pair, {"x": 1}, Pair(1)),
    (Model, {"when": "2026-01-01T00:00:00Z"}, Model(when=datetime(2026, 1, 1, tzinfo=UTC))),
    (set[UUID], [str(ID)], {ID}),
    (tuple[int, ...], [1, 2], (1, 2)),
    (list[Address] | None, [{"street": "x"}], [Address("x")]),
    (str, Word.YES, "yes"),
    (int, Level.HIGH, 2),
]
"""Annotations, what may be given in another form, and what the handler gets."""

MISFITS: list[tuple[Any, Any, str]] = [
    (UUID, "no", "'no' is not a valid UUID"),
    (UUID, 5, "int is not an instance of"),
    (Decimal, 1.5, "float is not an instance of"),
    (Decimal, "ten", "'ten' is not a valid Decimal"),
    (Path, b"x", "bytes is not an instance of"),
    (list[Path], "abc", "str is not an instance of list"),
    (set[int], {"a"}, r"str is not an instance of int @ value\[0\]"),
    (set[int], {1: 2}, "dict is not an instance of set"),
    (tuple[int, int], [1], "it has 1 items"),
    (list[int], [1, "2"], "item 1 of list is not an instance of int"),
    (dict[str, int], {"a": 1, "b": "2"}, "value of key 'b' of dict"),
    (Color, "GREEN", "'GREEN' is not a Color; use one of RED, BLUE"),
    (Color, True, "True is not a Color"),
    (Color, Level.LOW, "Level is not an instance of"),
    (Address, {"street": 3}, "int is not an instance of str"),
    (Address, Address(3), "int is not an instance of str"),  # type: ignore[arg-type]
    (Address, {}, "'street' is missing"),
    (Address, {"street": "x", "zip": "1"}, "Address has no field 'zip'"),
    (Address, Person("Ann"), "Person is not an instance of"),
    (Address, Villa("x"), "Villa would come back as Address"),
    (Person, {"name": "A", "home": {"street": 1}}, "Address | None"),
    (list[Address], [Address("x"), {"street": 1}], r"\[1\]"),
    (Pair, (1, time(0), 3), "tuple is not an instance of"),
    (Options, {"pth": "x"}, "'pth' is missing, or is not a key of Options"),
    (Model, {"when": "never"}, "validation error for Model"),
    (Path | str, Path("x"), "Path would come back as str"),
    (Address | Twin, Twin("x"), "Twin would come back as Address"),
    (time, time(tzinfo=__import__("zoneinfo").ZoneInfo("Europe/Paris")), "offset depends on the day"),
    (str, 3, "int is not an instance of str"),
]


def taking(wanted: Any, **settings: Any) -> Handler:
    """Return a handler with one argument `it`, which it returns."""

    def take(_: JobContext, it: Any) -> Any:
        return it

    take.__annotations__["it"] = wanted
    made: Handler = handler("Arguments.Take", **settings)(take)
    return made


def sent(made: Handler, it: Any) -> MessageData:
    """Return what a job carries, as a store gives it back."""
    return MessageData(MessageData.of(made.carry({"it": it})).encoded)


def same(first: Any, second: Any) -> bool:
    return bool(type(first) is type(second) and first == second)


@pytest.mark.parametrize(("wanted", "value"), FITTING, ids=str)
def test_a_value_comes_back_as_it_is(wanted: Any, value: Any) -> None:
    made = taking(wanted)
    assert same(made.restore(sent(made, value))["it"], value)


@pytest.mark.parametrize(("wanted", "value"), FITTING, ids=str)
def test_what_was_carried_can_be_carried_again(wanted: Any, value: Any) -> None:
    made = taking(wanted)
    data = sent(made, value)
    again = made.carry(data)
    assert same(made.restore(MessageData.of(again))["it"], value)


@pytest.mark.parametrize(("wanted", "value", "expected"), READ, ids=str)
def test_another_form_is_read(wanted: Any, value: Any, expected: Any) -> None:
    made = taking(wanted)
    assert same(made.restore(sent(made, value))["it"], expected)


@pytest.mark.parametrize(("wanted", "value", "expected"), READ[:-2], ids=str)
def test_another_form_is_read_from_whoever_knows_the_id_only(wanted: Any, value: Any, expected: Any) -> None:
    data = MessageData.of(it=value)
    assert same(taking(wanted).restore(data)["it"], expected)


@pytest.mark.parametrize(("wanted", "value", "reason"), MISFITS, ids=str)
def test_what_does_not_fit_is_refused_when_it_is_scheduled(wanted: Any, value: Any, reason: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=f"argument 'it' of 'Arguments.Take': .*(?:{reason})"):
        taking(wanted).carry({"it": value})


def test_a_value_that_contains_itself_is_refused() -> None:
    person = Person("Ann")
    person.friends.append(person)
    with pytest.raises(InvalidArgumentsError, match="contains itself"):
        taking(Person).carry({"it": person})


def test_what_no_annotation_describes_is_not_turned_into_something_else() -> None:
    made = taking(Person)
    for hidden in ({1}, Address("x"), Path("x")):
        with pytest.raises(InvalidDataError, match="which a job cannot carry"):
            sent(made, Person("Ann", extra=hidden))


@pytest.mark.parametrize("wanted", [list["Node"], "list[Node]"], ids=str)
def test_a_type_that_is_defined_later_in_the_module(wanted: Any) -> None:
    assert sent(taking(wanted), [Node([Node()])])["it"] == [{"inner": [{"inner": []}]}]


@dataclasses.dataclass
class Node:
    inner: list[Node] = dataclasses.field(default_factory=list)


def test_a_type_that_is_local_to_a_function() -> None:
    class Local(Enum):
        A = 1

    @dataclasses.dataclass
    class Own:
        local: Local

    Own.__annotations__["local"] = Local

    @handler("Arguments.Local")
    def local(job: JobContext, own: Own, other: list[Local]) -> Any: ...

    data = MessageData.of(local.carry({"own": Own(Local.A), "other": [Local.A]}))
    assert local.restore(data) == {"own": Own(Local.A), "other": [Local.A]}


def hidden_types(job: HiddenContext, order: int) -> Awaitable[None] | None: ...


class HiddenTypes(JobHandler):
    def handle(self, job: HiddenContext, order: int) -> Awaitable[None] | None: ...


@pytest.mark.parametrize("target", [hidden_types, HiddenTypes])
def test_the_contexts_and_the_returned_type_may_be_hidden(target: Any) -> None:
    made: Any = handler("Arguments.Hidden")(target)
    made.request(order=1)
    with pytest.raises(InvalidArgumentsError, match="str is not an instance of int"):
        Handler(made.request().definition, target).check({"order": "1"})


def unresolved(_: JobContext, size: Fraction) -> None: ...


def nested(_: JobContext, sizes: dict[str, list[Fraction]] | None = None) -> None: ...


def misspelt(_: JobContext, size: dataclasses.Dataclass) -> None: ...  # type: ignore[name-defined]


class Unresolved(JobHandler):
    def handle(self, job: JobContext, size: Fraction) -> None: ...


@pytest.mark.anyio
@pytest.mark.parametrize("target", [unresolved, nested, misspelt, Unresolved])
async def test_an_annotation_that_cannot_be_resolved_stops_the_start(producer: Build, target: Any) -> None:
    made = handler("Arguments.Unresolved")(target)
    with pytest.raises(
        ConfigurationError, match=r"handler 'Arguments.Unresolved' \(.*\): the annotation of 'size"
    ):
        async with producer(made).running():
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("wanted", [bytearray, list[complex], Address | bytearray, dict[UUID, Path]], ids=str)
async def test_a_type_that_no_job_carries_stops_the_start(producer: Build, wanted: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'it' is annotated with .* which a job cannot carry"):
        async with producer(taking(wanted)).running():
            pass


def with_default(_: JobContext, name: str, connection: bytearray | None = None) -> None: ...


def test_an_argument_that_jobs_do_not_bring_may_be_of_any_type() -> None:
    made = handler("Arguments.Default")(with_default)
    assert made.carry({"name": "Ann"}) == {"name": "Ann"}
    with pytest.raises(InvalidDataError):
        MessageData.of(made.carry({"name": "Ann", "connection": bytearray()}))


def rest(_: JobContext, **colors: Color) -> Any:
    return colors


@pytest.mark.anyio
async def test_the_rest_of_the_arguments_is_restored_too() -> None:
    assert await run_handler(handler("Arguments.Rest")(rest), one="RED", two=Color.BLUE) == {
        "one": Color.RED,
        "two": Color.BLUE,
    }


@pytest.mark.anyio
async def test_a_handler_gets_members_and_classes_whatever_module_sent_them(cluster: Build) -> None:
    """A producer that runs as `__main__` names its classes otherwise than the worker that imported them."""
    sender = ModuleType("__main_of_the_sender__")
    exec(  # noqa: S102 - the module of another process
        "import dataclasses, enum\n"
        "class Color(enum.Enum):\n    RED = 1\n"
        "@dataclasses.dataclass\nclass Address:\n    street: str\n    number: int = 1\n",
        sys.modules.setdefault(sender.__name__, sender).__dict__,
    )
    theirs = handler("Arguments.Ship")(_shipping(sender.Color, sender.Address))
    del sys.modules[sender.__name__]
    got = Seen[Any]()

    async def ship(_: JobContext, color: Color, addresses: list[Address]) -> None:
        got.add((color, addresses))

    made = handler("Arguments.Ship")(ship)
    request = theirs.request(color=sender.Color.RED, addresses=[sender.Address("x", 2)])
    async with cluster(made).running() as runtime:
        [receipt] = await runtime.scheduler.once_many([request])
        by_id = await runtime.scheduler.once_now(
            JobDefinition("Arguments.Ship"), {"color": "BLUE", "addresses": [{"street": "y"}]}
        )
        bad = await runtime.scheduler.once_now(
            JobDefinition("Arguments.Ship", max_retries=0), {"color": "BLUE"}
        )
        worse = await runtime.scheduler.once_now(
            JobDefinition("Arguments.Ship", max_retries=0), {"color": "GREEN", "addresses": []}
        )
        for one in (receipt, by_id):
            assert (await runtime.jobs.wait(one.job_id, 10)).status is JobStatus.SUCCEEDED
        failed = [await runtime.jobs.wait(one.job_id, 10) for one in (bad, worse)]
        assert [job.status for job in failed] == [JobStatus.FAILED] * 2
        assert "argument 'color' of 'Arguments.Ship': 'GREEN' is not a Color" in str(
            failed[1].attempts[0].error
        )
    assert sorted(got.items, key=str) == [(Color.BLUE, [Address("y")]), (Color.RED, [Address("x", 2)])]


def _shipping(color: type, address: type) -> Callable[..., Any]:
    async def ship(_: JobContext, color: Any, addresses: Any) -> None:  # noqa: ARG001 - only its annotations count
        await anyio.lowlevel.checkpoint()

    ship.__annotations__.update(color=color, addresses=list[address])  # type: ignore[valid-type]
    return ship


people: st.SearchStrategy[Person] = st.deferred(
    lambda: st.builds(
        Person,
        name=st.text(st.characters(exclude_categories=["Cs"])),
        home=st.none() | st.builds(Address, st.text(st.characters(exclude_categories=["Cs"])), st.integers()),
        colors=st.lists(st.sampled_from(Color)),
        friends=st.lists(people, max_size=2),
        extra=st.none() | st.integers() | st.lists(st.sampled_from(Word), max_size=2),
    )
)


@given(people)
def test_any_value_of_a_class_comes_back(person: Person) -> None:
    made = taking(Person)
    assert made.restore(sent(made, person))["it"] == person


json_like = st.recursive(
    st.none() | st.integers() | st.text() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_like)
def test_any_data_is_taken_or_refused_in_our_words(value: Any) -> None:
    for wanted in (Person, Pair, Options, Model, set[UUID], dict[str, Path] | Color, list[int] | Address):
        with suppress(InvalidArgumentsError):
            taking(wanted).carry({"it": value})
