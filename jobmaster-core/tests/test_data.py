"""Values come back exactly as they went in."""

import json
import math
import re
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, EnumType, Flag, IntEnum, StrEnum
from types import MappingProxyType, ModuleType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobmaster._arguments.conversion import MisfitError, restored
from jobmaster.data import LONGEST_NAME, MessageData, Metadata
from jobmaster.errors import InvalidDataError


class Color(Enum):
    RED = 1
    BLUE = "b"


class Level(IntEnum):
    NONE = 0
    HIGH = 1


class Word(StrEnum):
    EMPTY = ""
    FULL = "full"


class Right(Flag):
    NONE = 0
    READ = 1
    WRITE = 2


class Outer:
    class Inner(Enum):
        X = "x"


ZONES = ["UTC", "Europe/Paris", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Monrovia", "Etc/GMT+12"]

naive = st.datetimes()
zoned = st.datetimes(timezones=st.sampled_from(ZONES).map(ZoneInfo), allow_imaginary=True)
offsets = st.integers(-86399, 86399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
fixed = st.datetimes(timezones=offsets)
folds = st.builds(lambda moment, fold: moment.replace(fold=fold), zoned | naive, st.integers(0, 1))
members = st.sampled_from([*Color, *Level, *Word, *Right, *Outer.Inner])

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | folds
    | fixed
    | st.dates()
    | st.timedeltas(timedelta(days=-(10**8)), timedelta(days=10**8))
    | st.uuids()
    | members
)
names = st.text() | st.sampled_from(["$", "v", "us", "tz", ""])
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, of one type, and equal in what == does not look at."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other if isinstance(one, Enum) else fingerprint(one) == fingerprint(other)


def fingerprint(value: Any) -> object:
    """Return all that there is to a value, nan and the sign of zero included."""
    if isinstance(value, datetime):
        return value.isoformat(), value.fold, str(value.tzinfo)
    if isinstance(value, Decimal):
        return value.as_tuple()
    return repr(value) if isinstance(value, float) else value


def stored(values: Mapping[str, Any]) -> MessageData:
    """Return the values as another process reads them."""
    return MessageData(bytes(MessageData.of(values).encoded))


class TestRoundTrip:
    @given(nested)
    @example(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")))
    @example(datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Paris")))
    @example([Level.NONE, Word.EMPTY, Right.NONE])
    @example({"$": {"$": "dt"}})
    @example({"$": "enum", "c": "os:system", "v": "x"})
    @example(2**63)
    @example(-(2**63) - 1)
    @example(-0.0)
    @example(math.nan)
    @example(Decimal("sNaN"))
    def test_one_value(self, value: Any) -> None:
        assert same(stored({"name": value})["name"], value)

    @given(st.dictionaries(names, nested, max_size=5))
    def test_named_values(self, values: dict[str, Any]) -> None:
        found = stored(values)

        assert same(dict(found), values)
        assert list(found) == list(values)
        assert len(found) == len(values)
        assert ("missing" in found) == ("missing" in values)

    @given(st.dictionaries(names, nested, max_size=5))
    def test_encoding_is_stable(self, values: dict[str, Any]) -> None:
        data = MessageData.of(values)

        assert MessageData.of(dict(stored(values))).encoded == data.encoded
        assert MessageData(data.encoded.decode()).encoded == data.encoded
        json.loads(data.encoded)

    @given(st.dictionaries(names, scalars, max_size=5))
    def test_metadata(self, values: dict[str, Any]) -> None:
        flat = {
            n: v
            for n, v in values.items()
            if not (isinstance(v, str) and "\0" in v) and "\0" not in n and len(n) <= LONGEST_NAME
        }

        assert same(dict(Metadata(Metadata.of(flat).encoded)), flat)

    def test_the_fold_of_a_fixed_offset(self) -> None:
        value = datetime(2026, 1, 1, fold=1, tzinfo=UTC)

        assert same(stored({"name": value})["name"], value)

    def test_any_mapping_is_read(self) -> None:
        found = stored(MappingProxyType({"a": MappingProxyType({"b": 1})}))

        assert dict(found) == {"a": {"b": 1}}

    def test_keywords_are_merged_over_a_mapping(self) -> None:
        assert dict(MessageData.of({"a": 1, "b": 2}, b=3)) == {"a": 1, "b": 3}
        assert dict(MessageData.of()) == {}

    @given(
        st.dictionaries(names, st.integers() | st.text() | folds | members, max_size=3).filter(
            lambda values: "more" not in values
        )
    )
    def test_data_equals_what_it_was_made_of(self, values: dict[str, Any]) -> None:
        again = stored(values)

        assert again == stored(values) == values
        assert again != {**values, "more": 1}
        assert again != "something else"


class TestRefusals:
    @pytest.mark.parametrize(
        "value",
        [object(), {1, 2}, {1: "a"}, {"a": {None: 1}}, lambda: 1, complex(1), bytearray(b"a"), "\ud800", str],
        ids=lambda value: type(value).__name__,
    )
    def test_what_cannot_be_carried_is_named(self, value: Any) -> None:
        with pytest.raises(InvalidDataError):
            MessageData.of({"name": value})

    def test_the_message_says_where_it_is(self) -> None:
        with pytest.raises(InvalidDataError, match=r"'order.lines\[1\].price' is of type builtins.complex"):
            MessageData.of(order={"lines": [{}, {"price": 1j}]})

    def test_a_local_enum_cannot_be_found_again(self) -> None:
        class Local(Enum):
            A = 1

        with pytest.raises(InvalidDataError, match="local enum"):
            MessageData.of(value=Local.A)

    def test_a_combination_of_flags_comes_back_or_is_refused(self) -> None:
        try:
            data = stored({"value": Right.READ | Right.WRITE})
        except InvalidDataError:
            return
        assert data["value"] == Right.READ | Right.WRITE

    def test_a_number_beyond_all_reason_comes_back_or_is_refused(self) -> None:
        try:
            data = stored({"value": 10**5000})
        except InvalidDataError:
            return
        assert data["value"] == 10**5000

    @pytest.mark.parametrize("depth", [500, 5000])
    def test_nesting_beyond_all_reason_is_refused(self, depth: int) -> None:
        value: list[Any] = []
        for _ in range(depth):
            value = [value]

        with pytest.raises(InvalidDataError):
            MessageData.of(value=value)

    def test_a_value_that_contains_itself_is_refused(self) -> None:
        value: list[Any] = []
        value.append(value)

        with pytest.raises(InvalidDataError):
            MessageData.of(value=value)

    @pytest.mark.parametrize("value", [[1], (1,), {"a": 1}, {}], ids=str)
    def test_metadata_does_not_nest(self, value: Any) -> None:
        with pytest.raises(InvalidDataError, match="metadata 'a'"):
            Metadata.of(a=value)


def make_hostile_modules(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make loaded modules whose attributes run code when they are looked at; return what has run."""
    ran: list[str] = []

    class Settings:
        @property
        def value(self) -> type[Enum]:
            ran.append("a property")
            return Color

        def __getattr__(self, name: str) -> Any:
            ran.append("__getattr__ of an object")
            raise AttributeError(name)

    class Watching(type):
        def __getattribute__(cls, name: str) -> Any:
            ran.append("__getattribute__ of a class")
            return super().__getattribute__(name)

    class Members(EnumType):
        def __getattribute__(cls, name: str) -> Any:
            if active:
                ran.append("__getattribute__ of an enum")
            return super().__getattribute__(name)

    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            ran.append("a module that is imported when it is looked at")
            return super().__getattribute__(name)

    def lazy_import(name: str) -> Any:
        ran.append("__getattr__ of a module")
        raise AttributeError(name)

    active = False
    body = {"settings": Settings(), "Watched": Watching("Watched", (), {}), "__getattr__": lazy_import}
    hostile = ModuleType("hostile")
    vars(hostile).update(body)
    names = EnumType.__prepare__("Members", (Enum,))
    names["OTHER"] = 1
    names["__module__"] = "hostile"
    vars(hostile)["Members"] = Members("Members", (Enum,), names)
    monkeypatch.setitem(sys.modules, "hostile", hostile)
    monkeypatch.setitem(sys.modules, "lazily.imported", Lazy("lazily.imported"))
    active = True
    ran.clear()
    return ran


class TestUnknownEnums:
    """An enum of a module that this process has not imported."""

    def test_data_never_makes_us_import_a_module(self) -> None:
        data = MessageData(b'{"e": {"$": "enum", "c": "antigravity:Member", "v": "A"}}')

        assert "antigravity" not in sys.modules
        with pytest.raises(LookupError, match=r"antigravity:Member\.A"):
            data["e"]
        assert "antigravity" not in sys.modules

    @pytest.mark.parametrize(
        "path",
        [
            "hostile:Missing",
            "hostile:settings",
            "hostile:settings.value",
            "hostile:settings.other.Color",
            "hostile:Watched.Color",
            "hostile:Watched.__members__",
            "hostile:Members",
            "lazily.imported:Color",
        ],
    )
    def test_looking_a_class_up_runs_no_code(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        ran = make_hostile_modules(monkeypatch)
        before = set(sys.modules)
        data = MessageData(b'{"e": {"$": "enum", "c": "%s", "v": "RED"}}' % path.encode())

        with pytest.raises(LookupError, match=re.escape(f"{path}.RED")):
            data["e"]
        with pytest.raises(MisfitError, match="import its module"):
            restored(data.as_stored()["e"], Any)

        assert ran == []
        assert set(sys.modules) == before

    @given(
        st.sampled_from(sorted(name for name, module in sys.modules.items() if type(module) is ModuleType)),
        st.data(),
    )
    def test_no_name_of_a_loaded_module_imports_another(self, module: str, data: st.DataObject) -> None:
        """Such as `concurrent.futures:ProcessPoolExecutor`, which is imported when it is first looked at."""
        names = [*vars(sys.modules[module]), *(vars(sys.modules[module]).get("__all__") or ()), "anything"]
        name = data.draw(st.sampled_from(sorted(str(one) for one in names)))
        body = orjson.dumps({"e": {"$": "enum", "c": f"{module}:{name}", "v": "no member of any"}})
        before = set(sys.modules)

        with pytest.raises(LookupError):
            MessageData(body)["e"]

        assert set(sys.modules) == before

    @pytest.mark.parametrize(
        "zone", ["Africa/NoSuch", "json/tool", "../../etc/passwd", "/etc/passwd", "", "a" * 300]
    )
    def test_a_zone_that_is_none_imports_nothing_called_like_it(self, zone: str) -> None:
        body = {"v": {"$": "dt", "v": "2026-01-01T00:00:00+00:00", "tz": zone}}
        before = set(sys.modules)

        with pytest.raises(InvalidDataError, match="value 'v'"):
            MessageData(orjson.dumps(body))["v"]

        assert not [name for name in set(sys.modules) - before if name.startswith("tzdata.zoneinfo.")]

    def test_a_class_that_was_defined_again_is_the_one_that_counts(self) -> None:
        made = EnumType.__call__
        first, second = (made(Enum, "Again", {"RED": 1}, module="notebook").__members__ for _ in range(2))

        assert stored({"e": [first["RED"]]})["e"] == [second["RED"]]
        assert first["RED"] != second["RED"]

    def test_only_enums_are_looked_up(self) -> None:
        data = MessageData(b'{"e": {"$": "enum", "c": "os:environ", "v": "HOME"}}')

        with pytest.raises(LookupError):
            data["e"]

    def test_the_caller_may_say_which_enum_it_is(self) -> None:
        data = MessageData(b'{"e": {"$": "enum", "c": "gone:Color", "v": "RED"}}')

        assert data.get_enum("e", Color) is Color.RED
        with pytest.raises(TypeError, match="'RED', which Level does not have"):
            data.get_enum("e", Level)

    def test_a_nested_one_is_no_half_decoded_value(self) -> None:
        data = MessageData(b'{"l": [{"$": "enum", "c": "gone:Color", "v": "RED"}]}')

        with pytest.raises(LookupError, match=r"gone:Color\.RED"):
            data["l"]


class TestTypedGetters:
    data = MessageData.of(
        s="text",
        i=3,
        f=1.5,
        b=True,
        dec=Decimal("1.10"),
        dt=datetime(2026, 1, 1, tzinfo=UTC),
        d=date(2026, 1, 2),
        u=UUID(int=1),
        raw=b"x",
        e=Color.BLUE,
        j=[1, {"a": None}],
    )

    def test_each_type_has_its_getter(self) -> None:
        data = self.data

        assert (data.get_str("s"), data.get_int("i"), data.get_float("f")) == ("text", 3, 1.5)
        assert (data.get_bool("b"), data.get_decimal("dec")) == (True, Decimal("1.10"))
        assert data.get_datetime("dt") == datetime(2026, 1, 1, tzinfo=UTC)
        assert (data.get_date("d"), data.get_uuid("u")) == (date(2026, 1, 2), UUID(int=1))
        assert (data.get_bytes("raw"), data.get_enum("e", Color)) == (b"x", Color.BLUE)
        assert data.get_json("j") == [1, {"a": None}]

    def test_an_integer_may_be_read_as_a_float(self) -> None:
        found = self.data.get_float("i")

        assert (found, type(found)) == (3.0, float)

    @pytest.mark.parametrize(
        ("getter", "name"),
        [("get_str", "i"), ("get_int", "b"), ("get_int", "s"), ("get_float", "b"), ("get_bool", "i")],
    )
    def test_another_type_is_refused(self, getter: str, name: str) -> None:
        with pytest.raises(TypeError, match=f"value '{name}' is "):
            getattr(self.data, getter)(name)

    def test_a_missing_value_is_an_error_or_the_default(self) -> None:
        with pytest.raises(KeyError, match="no value named 'x'"):
            self.data.get_str("x")
        assert self.data.get_str("x", "default") == "default"
        assert self.data.get("x") is None

    def test_data_cannot_be_changed_or_hashed(self) -> None:
        with pytest.raises(TypeError):
            self.data["s"] = 1  # type: ignore[index]
        with pytest.raises(TypeError):
            hash(self.data)
