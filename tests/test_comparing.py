"""Whatever metadata is accepted, and whatever is asked for, a query works, and all stores give the same answer."""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from math import inf, isnan, nan, nextafter
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import anyio
import orjson
import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobmaster import InvalidQueryError, MetadataFilter, Operator, Priority
from jobmaster.comparing import matches
from jobmaster.data import Metadata, encode_value
from jobmaster.errors import InvalidDataError
from jobmaster.models import JobQuery
from jobmaster.queries import MOST_FILTER_BYTES, build_query
from jobmaster.states import JobStatus
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.options import open_master
from jobmaster_testing.servers import postgres_url

# Values are drawn in a thread, beside an event loop whose jitter comes from `random`: no strategy does that.
DRAWN_BESIDE_A_LOOP = "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(DRAWN_BESIDE_A_LOOP)]

KINDS = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

EDGES: Sequence[Any] = [
    *(Decimal(text) for text in ("1E-20000", "1E+200000", "1E+10000", "1E-10000", "NaN", "sNaN", "-0")),
    *(
        Decimal(text)
        for text in ("Infinity", "-Infinity", "0E-20000", "1.10", "1.1", f"{'9' * 10_000}E-9999")
    ),
    *(nan, inf, -inf, -0.0, 5e-324, 1e308, 1e23, 0.1, float(2**60), nextafter(2.0**53, inf)),
    *(10**23, 2**60, 2**60 - 24, 2**53 + 1, 10**4000, -(10**4000), 10**5000, 2**63, -(2**63) - 1),
    *(timedelta.max, timedelta.min, timedelta(0), timedelta(microseconds=2**63 - 1)),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
    datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")),
    datetime.max.replace(tzinfo=ZoneInfo("America/New_York")),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Paris")),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=1),
    datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Paris")),
    datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
    *(datetime.min, datetime.max, date.min, date.max),  # noqa: DTZ901 - naive on purpose
    *("a\0b", "\ud800", "", "\\u0000", "\\", "1e5", "Infinity", "x" * 70_000),
    *(b"", b"\xff", None, True, False, Priority.LOW, JobStatus.FAILED),
]

numbers = st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.floats(width=32).map(float)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-14)), ZoneInfo("Europe/Paris"), None])
values = (
    st.sampled_from(EDGES)
    | numbers
    | st.decimals(-(10**40), 10**40)
    | st.decimals()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.timedeltas()
)

OF_BEFORE: Sequence[Any] = [
    *({"$": "dec", "v": text} for text in ("1E-20000", "1E+200000", "1E+999999999999", "12.", "x", "", None)),
    {"$": "dec", "v": f"0.{'1' * 20_000}"},
    {"$": "dec", "v": f"{'1' * 140_000}"},
    *({"$": "int", "v": text} for text in ("1" * 5000, "x")),
    *({"$": "dt", "v": "2026-01-01T00:00:00+00:00", "us": us} for us in (None, "x", 1.5)),
    *({"$": "td", "us": us} for us in (None, "x", 2.0)),
    {"$": "bytes", "v": "%"},
    {"$": "float", "v": "-nan"},
    {"$": "enum", "c": "nowhere:Missing", "v": "GONE"},
    {"$": "new", "v": 1},
    *({"$": "map", "v": {}}, {"$": "tuple", "v": []}, {}, [], {"$": None}),
    "a\0b",
]
"""Stored values that nobody could send today; some of them are in rows that were stored before they were refused."""

ONE_OF_EACH: Sequence[Any] = [
    *("", 0, 0.5, Decimal(0), True, None, timedelta(0), b"", Priority.LOW, UUID(int=0)),
    *(date(2026, 1, 1), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001 - naive on purpose
]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}
    return urls.get(request.param) or postgres_url()


def accepted(value: Any) -> Metadata | None:
    try:
        return Metadata.of(v=value)
    except InvalidDataError:
        return None


def asked(operator: Operator, value: Any) -> JobQuery | None:
    try:
        return build_query(metadata=[MetadataFilter("v", operator, value)])
    except InvalidQueryError:
        return None


async def _store(world: World, metadata: Sequence[Metadata]) -> None:
    jobs = [make_new_job(cluster_id=world.cluster_id) for _ in metadata]
    await world.insert(
        *(evolve(new, job=evolve(new.job, metadata=each)) for new, each in zip(jobs, metadata, strict=True))
    )


async def _agree(world: World, stored: Sequence[Metadata], query: JobQuery) -> None:
    expected = sorted(each.encoded for each in stored if matches(query.metadata[0], each))
    found = await world.master.jobs.query(world.cluster_id, query)
    assert sorted(job.job.metadata.encoded for job in found) == expected, query.metadata
    assert sum((await world.master.jobs.count(world.cluster_id, query)).values()) == len(expected)


async def test_for_any_accepted_value_and_filter_the_query_works_and_stores_agree(store: str) -> None:
    async with open_master(store) as master:

        async def each_in_a_cluster(stored: Sequence[Metadata], queries: Sequence[JobQuery]) -> None:
            world = await make_world(master)
            await _store(world, stored)
            for query in queries:
                await _agree(world, stored, query)

        @settings(max_examples=15, deadline=None)
        @example(
            given_values=EDGES, wanted=[(operator, value) for operator in Operator for value in EDGES[::3]]
        )
        @given(
            given_values=st.lists(values, min_size=1, max_size=10),
            wanted=st.lists(st.tuples(st.sampled_from(Operator), values), max_size=10),
        )
        def each(given_values: Sequence[Any], wanted: Sequence[tuple[Operator, Any]]) -> None:
            stored = [metadata for value in given_values if (metadata := accepted(value))]
            lists = [asked(Operator.IN, [value for value in given_values if accepted(value)])]
            # What is stored is asked for as well: edges meet one another.
            own = [asked(operator, value) for operator, _ in wanted[:3] for value in given_values[:3]]
            queries = [asked(operator, value) for operator, value in wanted]
            chosen = [query for query in (*lists, *own, *queries) if query is not None]
            anyio.from_thread.run(each_in_a_cluster, stored, chosen)

        await anyio.to_thread.run_sync(each)


async def test_rows_of_before_make_no_query_fail(store: str) -> None:
    stored = [Metadata(orjson.dumps({"v": value})) for value in OF_BEFORE]
    stored += [metadata for value in EDGES if (metadata := accepted(value))]
    async with open_master(store) as master:
        world = await make_world(master)
        await _store(world, stored)
        for operator in (Operator.NE, Operator.GT, Operator.CONTAINS):
            for value in ONE_OF_EACH:
                if (query := asked(operator, value)) is not None:
                    await _agree(world, stored, query)


COMPARE: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: python.eq,
    Operator.NE: python.ne,
    Operator.GT: python.gt,
    Operator.LTE: python.le,
}


@given(numbers | st.decimals() | st.timedeltas() | st.dates() | st.text(), st.data())
def test_values_are_compared_as_python_compares_them(value: Any, data: st.DataObject) -> None:
    like = numbers if type(value) in (int, float) else st.from_type(type(value))
    other = data.draw(like)
    if (metadata := accepted(value)) is None or accepted(other) is None:
        return
    for operator, compare in COMPARE.items():
        found = matches(MetadataFilter("v", operator, other), metadata)
        assert found is (not (_is_nan(value) or _is_nan(other)) and compare(value, other))


def _is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and isnan(value)


@pytest.mark.parametrize("given", ["bogus", "", "eq ", "EQ", "=", None, 1, [], {}, object()])
async def test_what_is_no_operator_is_refused_with_the_list_of_them(store: str, given: Any) -> None:
    wanted = MetadataFilter("v", given, 1)
    with pytest.raises(InvalidQueryError, match=r"not an operator; use one of eq, ne, in, gt"):
        build_query(metadata=[wanted])
    async with open_master(store) as master:
        for ask in (master.jobs.query, master.jobs.count):
            with pytest.raises(InvalidQueryError, match=r"not an operator; use one of eq, ne, in, gt"):
                await ask("Cluster", JobQuery(metadata=[wanted]))


def test_an_operator_may_be_given_by_its_name() -> None:
    by_name: Any = "gte"
    assert build_query(metadata=[MetadataFilter("v", by_name, 1)]).metadata[0].operator is Operator.GTE


@pytest.mark.parametrize("span", [timedelta.max, timedelta.min])
def test_a_span_that_no_store_holds_is_refused_by_its_name(span: timedelta) -> None:
    for refuse in (lambda: Metadata.of({"age": span}), lambda: encode_value({"age": span})):
        with pytest.raises(InvalidDataError, match=r"age' is a timedelta of over 292,000 years"):
            refuse()
    with pytest.raises(InvalidQueryError, match=r"age' is a timedelta"):
        build_query(metadata={"age": span})


def test_what_filters_compare_with_is_bounded_together() -> None:
    text = "x" * 50_000
    many = [MetadataFilter("v", Operator.IN, [f"{text}{n}" for n in range(20)])]
    assert build_query(metadata=many).metadata
    with pytest.raises(InvalidQueryError, match=rf"over {MOST_FILTER_BYTES}; use several queries"):
        build_query(metadata=[*many, *many])
