"""Chaos with one seed. More jobs, other seeds and the massacre are one command: `make chaos ARGS="--seed 7"`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import chaos, world
from tests.e2e.faults import KINDS, plan, waves
from tests.e2e.stores import NewDatabase, OwnPostgres

SEED = 7
JOBS = 2000


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(400)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_chaos_loses_nothing_and_runs_nothing_twice(
    own_server: OwnPostgres, own_agent_server: OwnPostgres, new_database: NewDatabase, tmp_path: Path
) -> None:
    servers = world.Servers(own_server, own_agent_server, new_database)
    print(f"\nto repeat: make chaos ARGS='--seed {SEED} --jobs {JOBS}'")  # noqa: T201
    summary = await chaos.run(
        world.make_scenario(servers, tmp_path), servers, SEED, JOBS, plan(SEED, len(KINDS))
    )
    print(f"chaos, seed {SEED}:", summary)  # noqa: T201


def test_a_seed_gives_the_same_plan_each_time() -> None:
    assert plan(7, 100) == plan(7, 100)
    assert plan(7, 100) != plan(8, 100)


def test_a_plan_has_every_kind_of_fault_before_any_comes_again() -> None:
    whats = [(fault.kind, fault.whom, fault.store) for fault in plan(7, 2 * len(KINDS))]
    assert len(set(whats[: len(KINDS)])) == len(KINDS)
    assert set(whats[len(KINDS) :]) == set(whats[: len(KINDS)])


def test_waves_leave_no_fault_out() -> None:
    faults = plan(7, 3 * len(KINDS))
    found = waves(7, faults)
    assert [fault for wave in found for fault in wave] == faults
    assert {len(wave) for wave in found[: len(KINDS)]} == {1}
    assert max(len(wave) for wave in found) == 2
