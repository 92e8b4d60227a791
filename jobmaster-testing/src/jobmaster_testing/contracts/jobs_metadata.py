"""Requirements for `JobStore` when jobs are found by their metadata."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from jobmaster.models import Job, JobQuery, MetadataFilter, Operator
from jobmaster.states import JobStatus, Priority
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

ORDERED: Mapping[str, Sequence[Any]] = {
    "text": ["", "A", "B", "a", "a%b", "a_b", "ab", "b", "Ä", "ä", "🚀"],
    "numbers": [-(2**63), -1.5, -1, 0, 0.1, 1, 1.5, 2**53, 2**53 + 1, 1e300],
    "decimals": [Decimal(text) for text in ("-2", "-1.5", "0", "1.10", "1.2", "9", "10", "1E+30")],
    "moments": [
        datetime(2026, 6, 1, 13, 59, tzinfo=ZoneInfo("Europe/Paris")),
        NOON,
        NOON + timedelta(microseconds=1),
        datetime(2026, 6, 1, 7, 1, tzinfo=timezone(timedelta(hours=-5))),
    ],
    "naive moments": [datetime(2026, 6, 1, hour) for hour in (1, 2, 11)],  # noqa: DTZ001 - on purpose
    "days": [date(1999, 12, 31), date(2026, 6, 1), date(2026, 6, 2)],
    "spans": [timedelta(days=-1), timedelta(0), timedelta(microseconds=1), timedelta(days=400)],
}
"""Values of each kind, the smallest first."""

UNORDERED: Mapping[str, Sequence[Any]] = {
    "flags": [True, False],
    "nothing": [None],
    "ids": [UUID(int=1), UUID(int=2**127)],
    "bytes": [b"", b"a", bytes(range(256))],
    "members": [Priority.LOW, Priority.HIGH, JobStatus.FAILED],
    "huge numbers": [10**40, 10**40 + 1],
}

LOOKALIKES: Sequence[Any] = [
    "1",
    1,
    True,
    Decimal(1),
    Priority.VERY_LOW,
    b"1",
    "2026-06-01",
    date(2026, 6, 1),
]
"""Values of different types that a database might confuse."""

COMPARISONS: Mapping[Operator, Callable[[int, int], bool]] = {
    Operator.EQ: lambda value, wanted: value == wanted,
    Operator.NE: lambda value, wanted: value != wanted,
    Operator.GT: lambda value, wanted: value > wanted,
    Operator.GTE: lambda value, wanted: value >= wanted,
    Operator.LT: lambda value, wanted: value < wanted,
    Operator.LTE: lambda value, wanted: value <= wanted,
}
"""What an operator means for places in `ORDERED`."""

PARTS: Mapping[Operator, Callable[[str, str], bool]] = {
    Operator.CONTAINS: lambda text, part: part in text,
    Operator.STARTS_WITH: lambda text, part: text.startswith(part),
    Operator.ENDS_WITH: lambda text, part: text.endswith(part),
}

TEXTS = ["", "Ab", "ab", "a%b", "a_b", "axb", "a\\b", "'ab'", "[a]", "äb", "b\na"]

NAMES = ["plain", "with space", "a.b", "a'b", 'a"b', "a\\b", "$", "$.a", "[0]", "ключ", "%", ""]


class MetadataContract(MasterTests, suite=True):
    """Filters by metadata: every operator on every type that it applies to."""

    @pytest.mark.parametrize("kind", ORDERED)
    async def test_values_are_compared_by_their_order(self, world: World, kind: str) -> None:
        values = ORDERED[kind]
        jobs = await _with_metadata(world, [{"v": value} for value in values])
        await _with_metadata(world, [{}, {"w": values[0]}, {"v": UUID(int=1)}])

        for operator, compare in COMPARISONS.items():
            for place, wanted in enumerate(values):
                expected = [job for n, job in enumerate(jobs) if compare(n, place)]
                await _expect(world, expected, MetadataFilter("v", operator, wanted))

    @pytest.mark.parametrize("kind", UNORDERED)
    async def test_values_are_equal_or_not(self, world: World, kind: str) -> None:
        values = UNORDERED[kind]
        jobs = await _with_metadata(world, [{"v": value} for value in values])
        await _with_metadata(world, [{}, {"w": values[0]}])

        for place, wanted in enumerate(values):
            same = [job for n, job in enumerate(jobs) if n == place]
            await _expect(world, same, MetadataFilter("v", Operator.EQ, wanted))
            others = [j for n, j in enumerate(jobs) if n != place and type(values[n]) is type(wanted)]
            await _expect(world, others, MetadataFilter("v", Operator.NE, wanted))

    @pytest.mark.parametrize("kind", [*ORDERED, *UNORDERED])
    async def test_values_are_found_in_a_list(self, world: World, kind: str) -> None:
        values = {**ORDERED, **UNORDERED}[kind]
        jobs = await _with_metadata(world, [{"v": value} for value in values])
        await _with_metadata(world, [{}, {"w": values[0]}])

        await _expect(world, [jobs[0]], MetadataFilter("v", Operator.IN, [values[0]]))
        await _expect(world, jobs[:2], MetadataFilter("v", Operator.IN, [*values[:2], values[0]]))
        await _expect(world, jobs, MetadataFilter("v", Operator.IN, [*values, "of another type"]))
        await _expect(world, [], MetadataFilter("v", Operator.IN, []))

    @pytest.mark.parametrize("operator", PARTS)
    async def test_text_is_found_by_its_parts(self, world: World, operator: Operator) -> None:
        jobs = await _with_metadata(world, [{"v": text} for text in TEXTS])
        await _with_metadata(world, [{}, {"w": "ab"}, {"v": 1}, {"v": b"ab"}])

        for part in [*TEXTS, "A", "b", "%", "_", "\\", "'", "a%", "Ä"]:
            expected = [job for job, text in zip(jobs, TEXTS, strict=True) if PARTS[operator](text, part)]
            await _expect(world, expected, MetadataFilter("v", operator, part))

    async def test_values_of_another_type_never_match(self, world: World) -> None:
        jobs = await _with_metadata(world, [{"v": value} for value in LOOKALIKES])

        for job, value in zip(jobs, LOOKALIKES, strict=True):
            same_type = [j for j, v in zip(jobs, LOOKALIKES, strict=True) if type(v) is type(value)]
            await _expect(world, [job], MetadataFilter("v", Operator.EQ, value))
            await _expect(world, [job], MetadataFilter("v", Operator.IN, [value]))
            different = [other for other in same_type if other is not job]
            await _expect(world, different, MetadataFilter("v", Operator.NE, value))

    @pytest.mark.parametrize("operator", COMPARISONS)
    async def test_lookalikes_are_not_put_in_order(self, world: World, operator: Operator) -> None:
        await _with_metadata(world, [{"v": value} for value in ("5", True, Decimal(5), b"5", None)])
        number = await _with_metadata(world, [{"v": 5}])

        expected = number if COMPARISONS[operator](5, 6) else []
        await _expect(world, expected, MetadataFilter("v", operator, 6))

    @pytest.mark.parametrize(
        ("value", "equal"),
        [
            (1, 1.0),
            (Decimal("1.10"), Decimal("1.1")),
            (Decimal("1E+2"), Decimal(100)),
            (NOON, NOON.astimezone(ZoneInfo("America/Sao_Paulo"))),
            (timedelta(hours=24), timedelta(days=1)),
        ],
        ids=str,
    )
    async def test_equal_values_match_however_they_are_written(
        self, world: World, value: object, equal: object
    ) -> None:
        jobs = await _with_metadata(world, [{"v": value}, {"v": equal}])

        for wanted in (value, equal):
            await _expect(world, jobs, MetadataFilter("v", Operator.EQ, wanted))
            await _expect(world, jobs, MetadataFilter("v", Operator.IN, [wanted]))
            await _expect(world, jobs, MetadataFilter("v", Operator.GTE, wanted))
            await _expect(world, [], MetadataFilter("v", Operator.NE, wanted))

    @pytest.mark.parametrize("name", NAMES)
    async def test_a_name_is_only_a_name(self, world: World, name: str) -> None:
        [job] = await _with_metadata(world, [{name: "x"}])
        await _with_metadata(world, [{other: "x"} for other in NAMES if other != name])

        await _expect(world, [job], MetadataFilter(name, Operator.EQ, "x"))
        await _expect(world, [job], MetadataFilter(name, Operator.STARTS_WITH, "x"))
        await _expect(world, [], MetadataFilter(name, Operator.GT, "x"))

    async def test_all_filters_hold(self, world: World) -> None:
        jobs = await _with_metadata(world, [{"a": n, "b": f"t{n}"} for n in range(4)])
        at_least_one = MetadataFilter("a", Operator.GTE, 1)
        below_three = MetadataFilter("a", Operator.LT, 3)
        named = MetadataFilter("b", Operator.STARTS_WITH, "t")

        await _expect(world, jobs[1:3], at_least_one, below_three, named)
        await _expect(world, [], at_least_one, MetadataFilter("a", Operator.LT, 1))

    async def test_filters_work_page_by_page(self, world: World) -> None:
        jobs = await _with_metadata(world, [{"odd": bool(n % 2)} for n in range(9)])
        odd, found = MetadataFilter("odd", Operator.EQ, value=True), []
        query = JobQuery(metadata=[odd], limit=3)
        while page := await world.master.jobs.query(world.cluster_id, query):
            found += ids(page)
            query = JobQuery(metadata=[odd], limit=3, after=page[-1].id)

        assert found == sorted(ids(jobs[1::2]), reverse=True)

    async def test_finished_jobs_are_found_too(self, world: World) -> None:
        job = await world.finished(await world.bucket(), metadata={"v": "x"})

        await _expect(world, [job], MetadataFilter("v", Operator.EQ, "x"))


async def _with_metadata(world: World, values: Sequence[Mapping[str, Any]]) -> list[Job]:
    return [await world.put_one(metadata=metadata) for metadata in values]


async def _expect(world: World, jobs: Sequence[Job], *filters: MetadataFilter) -> None:
    """Check that query and count agree on these jobs."""
    query = JobQuery(metadata=filters)
    found = ids(await world.master.jobs.query(world.cluster_id, query))
    assert found == sorted(ids(jobs), reverse=True), filters
    assert sum((await world.master.jobs.count(world.cluster_id, query)).values()) == len(jobs)
