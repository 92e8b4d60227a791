"""Parked jobs on their way into buckets of workers that know their definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobmaster.models import Bucket
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.placement import Group, homes_of, place_params
from jobmaster_sql.units import Answer, Query, Unit


async def parked_homes(
    driver: SqlDriver, buckets: Sequence[Bucket], definition_ids: Sequence[str]
) -> list[tuple[str, Group]]:
    """Return the homes of parked jobs of these definitions. Called on every poll, so it does not write."""
    if not buckets or not definition_ids:
        return []
    params = {
        "clusters": driver.dialect.array(sorted({bucket.cluster_id for bucket in buckets})),
        "definitions": driver.dialect.array(definition_ids),
    }
    places = await driver.run(lambda: _places(params), read_only=True)
    homes = homes_of(buckets)
    return [(c, group) for c, group in homes if (c, group.lane, int(group.priority)) in places]


def _places(params: Mapping[str, Any]) -> Unit[set[tuple[Any, ...]]]:
    parked: Answer = yield Query("parked_places", params, last=True)
    return set(parked.rows)


def parked_params(
    cluster_id: str, room: Group, definition_ids: Sequence[str], dialect: Dialect
) -> dict[str, Any]:
    """Return the parameters of statements that find parked jobs for a room."""
    definitions = dialect.array(definition_ids)
    return {"cluster_id": cluster_id, "definitions": definitions} | place_params(room)
