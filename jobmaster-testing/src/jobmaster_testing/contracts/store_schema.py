"""Requirements for `SchemaStore`."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import DurabilityRisk, MasterRepository
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.provider import MasterTests, make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.options import Options, open_master, unopened_master
from jobmaster_testing.probes import until


class SchemaContract(MasterTests, suite=True):
    """Opening, closing and provisioning a store."""

    @pytest.fixture
    def fresh_options(self, store_options: Options) -> Options:
        """Return options under which the store has no schema yet."""
        return evolve(store_options, table_prefix=f"t{uuid4().hex[:8]}_")

    async def test_open_may_be_called_again(self, world: World) -> None:
        job = await world.put_one()

        await world.master.open()

        assert (await world.record(job)).id == job.id

    async def test_close_may_be_called_again(self, store_url: str, store_options: Options) -> None:
        async with open_master(store_url, store_options) as master:
            await master.close()
            await master.close()

    async def test_another_repository_of_the_same_url_sees_the_same_jobs(
        self, world: World, peer: MasterRepository
    ) -> None:
        job = await world.put_one()

        assert await peer.jobs.get(world.cluster_id, job.id) == await world.record(job)

    async def test_what_was_accepted_survives_the_repository(
        self, store_url: str, store_options: Options
    ) -> None:
        async with open_master(store_url, store_options) as master:
            needs(master.capabilities.durable, "durable")
            world = await make_world(master)
            job = await world.put_one()

        async with open_master(store_url, store_options) as master:
            assert await master.jobs.get(world.cluster_id, job.id) is not None

    async def test_what_can_lose_jobs_is_said_with_what_it_means_and_the_remedy(self, world: World) -> None:
        check_risks(await world.master.durability_risks())

    async def test_a_store_says_what_can_lose_jobs_before_it_has_a_schema(
        self, store_url: str, fresh_options: Options, master: MasterRepository
    ) -> None:
        fresh = unopened_master(store_url, fresh_options)
        await fresh.open()
        try:
            assert list(await fresh.durability_risks()) == list(await master.durability_risks())
        finally:
            await fresh.close()

    async def test_a_repr_does_not_show_the_url(self, store_url: str, master: MasterRepository) -> None:
        assert store_url not in repr(master)

    async def test_now_is_aware_utc_and_moves(self, world: World) -> None:
        before = await world.master.now()

        async def later() -> bool:
            return await world.master.now() > before

        assert before.utcoffset() == timedelta(0)
        await until(later, what="the store's clock to move")

    async def test_a_migrated_store_has_nothing_pending(self, world: World) -> None:
        assert list(await world.master.schema.pending()) == []
        assert list(await world.master.schema.migrate()) == []

    async def test_migrate_applies_what_was_pending(
        self, store_url: str, master: MasterRepository, fresh_options: Options
    ) -> None:
        needs(master.capabilities.migrations, "migrations")
        fresh = unopened_master(store_url, fresh_options)
        await fresh.open()
        try:
            pending = list(await fresh.schema.pending())
            assert pending
            assert list(await fresh.schema.migrate()) == pending
            assert list(await fresh.schema.pending()) == []
        finally:
            await fresh.close()

    async def test_several_processes_migrate_once(
        self, store_url: str, master: MasterRepository, fresh_options: Options
    ) -> None:
        needs(master.capabilities.migrations, "migrations")
        stores = [unopened_master(store_url, fresh_options) for _ in range(3)]
        applied: list[str] = []

        async def migrate(store: MasterRepository) -> None:
            await store.open()
            applied.extend(await store.schema.migrate())

        try:
            async with anyio.create_task_group() as group:
                for store in stores:
                    group.start_soon(migrate, store)
            assert applied
            assert len(applied) == len(set(applied))
            assert list(await stores[0].schema.pending()) == []
        finally:
            for store in stores:
                await store.close()

    async def test_table_prefixes_keep_stores_apart(
        self, store_url: str, world: World, fresh_options: Options
    ) -> None:
        needs(world.master.capabilities.migrations, "migrations")
        job = await world.put_one()

        async with open_master(store_url, fresh_options) as other:
            assert await other.clusters.get(world.cluster_id) is None
            assert await other.jobs.get(world.cluster_id, job.id) is None

    async def test_the_migration_script_needs_no_connection(
        self, store_url: str, master: MasterRepository, fresh_options: Options
    ) -> None:
        needs(master.capabilities.migrations, "migrations")

        script = unopened_master(store_url, fresh_options).schema.script()

        assert fresh_options.table_prefix in script
        assert script.count(";") > 1


def check_risks(risks: Sequence[DurabilityRisk]) -> None:
    """Check a store's durability risks against the contract."""
    for risk in risks:
        assert isinstance(risk, DurabilityRisk)
        assert all((risk.setting, risk.value, risk.means, risk.remedy)), f"{risk} leaves something out"
        assert len(str(risk).splitlines()) == 1
    assert len(set(risks)) == len(risks)
