"""Metadata filters at the edges of PostgreSQL's types, compared with the reference."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

from jobmaster.comparing import matches
from jobmaster.contracts import MasterRepository
from jobmaster.data import Metadata
from jobmaster.models import JobQuery, MetadataFilter, Operator
from jobmaster_postgres.metadata import conditions_for
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import JobFields, make_new_job
from jobmaster_testing.options import open_master

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

VALUES: list[Any] = [
    1e308,
    -inf,
    inf,
    10**300,
    5e-324,
    Decimal("1E+5000"),
    Decimal("-0.00"),
    Decimal("Infinity"),
    Decimal("-Infinity"),
    b"\x80\xff",
    b"",
    "1e5",
    "null",
    None,
    False,
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1),  # noqa: DTZ001 - on purpose
]
ODD: list[Any] = [nan, Decimal("NaN"), Decimal("sNaN"), "nul\0", (1, 2)]
"""Values to look for that nothing matches, or nothing can be stored as."""

ORDERS = [Operator.EQ, Operator.GT, Operator.GTE, Operator.LT, Operator.LTE]


@pytest.fixture
async def master(database: str) -> AsyncIterator[MasterRepository]:
    async with open_master(database) as master:
        yield master


@pytest.fixture
async def world(master: MasterRepository) -> World:
    world = await make_world(master)
    fields: list[JobFields] = [{"cluster_id": world.cluster_id, "metadata": {"v": value}} for value in VALUES]
    await world.insert(*(make_new_job(**each) for each in fields))
    return world


def expected(wanted: MetadataFilter) -> list[Any]:
    def holds(value: Any) -> bool:
        try:
            return matches(wanted, Metadata.of(v=value))
        except TypeError:  # not comparable
            return False

    return [value for value in VALUES if holds(value)]


@pytest.mark.parametrize("operator", ORDERS)
async def test_filters_mean_what_the_reference_says(world: World, operator: Operator) -> None:
    for value in VALUES:
        wanted = MetadataFilter("v", operator, value)

        found = await world.master.jobs.query(world.cluster_id, JobQuery(metadata=[wanted]))

        assert sorted(repr(job.metadata["v"]) for job in found) == sorted(map(repr, expected(wanted))), wanted


@pytest.mark.parametrize("operator", [*Operator])
async def test_what_cannot_be_found_is_not_found(world: World, operator: Operator) -> None:
    for value in ODD:
        wanted = MetadataFilter("v", operator, [value] if operator is Operator.IN else value)

        assert list(await world.master.jobs.query(world.cluster_id, JobQuery(metadata=[wanted]))) == []


async def test_numbers_come_back_as_they_were(world: World) -> None:
    values = [1e16, -0.0, 1.0, 1, 10**20, 0.1 + 0.2, 1e-7]
    fields: JobFields = {
        "cluster_id": world.cluster_id,
        "metadata": {str(n): v for n, v in enumerate(values)},
    }
    [job] = await world.insert(make_new_job(**fields))

    stored = (await world.record(job)).metadata

    assert [repr(value) for value in stored.values()] == [repr(value) for value in values]


def test_a_list_is_one_comparison_for_each_kind() -> None:
    values = [*range(300), *map(str, range(300)), *map(Decimal, range(300)), None, True, b"x", *range(300)]

    conditions = conditions_for(MetadataFilter("v", Operator.IN, values))

    blocks = [block for block, _ in conditions]
    assert len(blocks) == len(set(blocks)) == 6
    numbers = dict(conditions)["by_number.in"]
    assert len(numbers["value"]) == len(numbers["real"]) == 300
