"""Requirements for `JobStore` when jobs come in."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import MasterRepository
from jobmaster.errors import KeyTakenError
from jobmaster.ids import new_id
from jobmaster.models import JobReceipt
from jobmaster.states import JobStatus, Priority
from jobmaster.weighing import AT_ONCE
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids
from jobmaster_testing.factories import make_job, make_new_job

EVERY_TYPE: dict[str, Any] = {
    "text": "Zoë 🚀 \\ ' \" % _ \n\t",
    "empty": "",
    "nul": "a\0b",
    "int": -42,
    "huge": 10**40,
    "float": 0.1,
    "infinity": float("inf"),
    "true": True,
    "nothing": None,
    "decimal": Decimal("1.10"),
    "moment": datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=ZoneInfo("Europe/Paris")),
    "fixed": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "naive": datetime(2026, 1, 1),  # noqa: DTZ001 - a handler may be given one
    "day": date(2026, 2, 28),
    "span": timedelta(days=-1, microseconds=1),
    "id": UUID(int=2**127),
    "bytes": bytes(range(256)),
    "enum": Priority.HIGH,
    "pair": (1, (2, "3")),
    "nested": {"list": [1, {"$": "dollar"}, [None]], "quote'd": {}},
}


class InsertingContract(MasterTests, suite=True):
    """Storing jobs once, even if calls are repeated."""

    async def test_nothing_to_insert(self, world: World) -> None:
        assert list(await world.master.jobs.insert([])) == []

    async def test_receipts_come_in_order(self, world: World) -> None:
        bucket = await world.bucket()
        new = [make_new_job(bucket if n % 2 else None, cluster_id=world.cluster_id) for n in range(6)]
        new.reverse()

        receipts = await world.master.jobs.insert(new)

        assert list(receipts) == [JobReceipt(job_id=n.job.id, accepted_by="master") for n in new]

    async def test_a_job_is_stored_as_it_was_handed_over(self, world: World) -> None:
        job = make_job(
            cluster_id=world.cluster_id,
            definition_id="Mödule.Job/1",
            lane="Gréetings 'x'",
            priority=Priority.VERY_LOW,
            scheduled_at=datetime(2026, 10, 25, 0, 30, 0, 999999, tzinfo=UTC),
            created_at=datetime(2026, 10, 24, 23, 59, 59, 1, tzinfo=UTC),
            timeout=0.125,
            max_retries=0,
            data=EVERY_TYPE,
            metadata={"category": "demo", "size": 3},
            key="ключ 'k'",
        )

        await world.master.jobs.insert([evolve(make_new_job(), job=job)])

        assert (await world.record(job)).job == job

    async def test_a_job_without_limits_or_values(self, world: World) -> None:
        job = await world.put_one(timeout=None, data={}, metadata={})

        stored = (await world.record(job)).job

        assert stored == job
        assert (stored.timeout, dict(stored.data), dict(stored.metadata), stored.key) == (None, {}, {}, None)

    @pytest.mark.parametrize("name", EVERY_TYPE)
    async def test_message_data_comes_back_exactly(self, world: World, name: str) -> None:
        bucket = await world.bucket()
        value = EVERY_TYPE[name]
        await world.put(bucket, data={name: value})

        [claim] = await world.claims(bucket)

        assert claim.job.data[name] == value
        assert type(claim.job.data[name]) is type(value)

    async def test_a_held_job(self, world: World) -> None:
        before = await world.master.now()
        job = await world.put_one(delay=600)
        after = await world.master.now()

        record = await world.record(job)

        assert (record.status, record.bucket_id, record.attempt, record.retries) == (
            JobStatus.HELD_ON_MASTER,
            None,
            1,
            0,
        )
        assert record.ready_at is not None
        assert before <= record.ready_at - timedelta(seconds=600) <= after
        assert (record.finished_at, record.reason, list(record.attempts)) == (None, None, [])

    async def test_a_job_in_a_bucket(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)

        record = await world.record(job)

        assert (record.status, record.bucket_id) == (JobStatus.ASSIGNED_TO_BUCKET, bucket.id)

    async def test_a_job_for_an_unknown_bucket_is_not_refused(self, world: World) -> None:
        bucket_id = new_id()

        [job] = await world.insert(make_new_job(bucket_id, cluster_id=world.cluster_id))

        assert (await world.record(job)).bucket_id == bucket_id

    async def test_inserting_again_changes_nothing(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket, key="k")
        new = evolve(make_new_job(bucket), job=claim.job)
        first = await world.record(claim.job)

        receipts = await world.master.jobs.insert([new, new])

        assert list(receipts) == [JobReceipt(job_id=claim.job.id, accepted_by="master")] * 2
        assert await world.record(claim.job) == first

    async def test_inserting_a_finished_job_again_does_not_run_it_again(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.finished(bucket)

        [receipt] = await world.master.jobs.insert([evolve(make_new_job(bucket), job=job)])

        assert receipt == JobReceipt(job_id=job.id, accepted_by="master")
        assert await world.status(job) is JobStatus.SUCCEEDED
        assert await world.claims(bucket) == []

    async def test_a_bulk_call_whose_answer_got_lost_can_be_sent_again(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = [make_new_job(bucket) for _ in range(30)]
        await world.master.jobs.insert(jobs[:20])

        receipts = await world.master.jobs.insert(jobs)

        assert [(receipt.job_id, receipt.created) for receipt in receipts] == [
            (new.job.id, True) for new in jobs
        ]
        assert sorted(ids(await world.claims(bucket))) == sorted(new.job.id for new in jobs)

    async def test_the_same_job_twice_in_a_call_is_stored_once(self, world: World) -> None:
        bucket = await world.bucket()
        new = make_new_job(bucket)

        receipts = await world.master.jobs.insert([new, new, make_new_job(bucket)])

        assert [r.job_id for r in receipts[:2]] == [new.job.id] * 2
        assert len(await world.claims(bucket)) == 2

    async def test_a_key_in_use_gives_the_first_job(self, world: World) -> None:
        first = await world.put_one(key="order-1", data={"n": 1})
        second = make_new_job(cluster_id=world.cluster_id, key="order-1", data={"n": 2})

        [receipt] = await world.master.jobs.insert([second])

        assert receipt == JobReceipt(job_id=first.id, accepted_by="master", created=False)
        assert await world.master.jobs.get(world.cluster_id, second.job.id) is None

    @pytest.mark.parametrize("alone", [True, False])
    async def test_a_key_of_another_definition_is_refused_and_nothing_is_stored(
        self, world: World, *, alone: bool
    ) -> None:
        first = await world.put_one(key="order-1", definition_id="Bill")
        wrong = make_new_job(cluster_id=world.cluster_id, key="order-1", definition_id="Ship")
        others = [make_new_job(cluster_id=world.cluster_id, key=key) for key in (None, "order-2", "order-1")]

        with pytest.raises(KeyTakenError) as caught:
            await world.master.jobs.insert([wrong] if alone else [*others[:2], wrong, *others[2:]])

        error = caught.value
        assert (error.key, error.definition_id) == ("order-1", "Ship")
        assert (error.holder, error.held_by) == (first.id, "Bill")
        assert ids(await world.all_jobs()) == [first.id]
        assert (await world.master.jobs.insert(others[:2]))[1].created, "nor did it take a key"

    async def test_a_key_for_two_definitions_in_one_call_is_refused(self, world: World) -> None:
        new = [
            make_new_job(cluster_id=world.cluster_id, key="order-1", definition_id=definition_id)
            for definition_id in ("Bill", "Ship")
        ]

        with pytest.raises(KeyTakenError) as caught:
            await world.master.jobs.insert([make_new_job(cluster_id=world.cluster_id), *new])

        assert {caught.value.definition_id, caught.value.held_by} == {"Bill", "Ship"}
        assert await world.all_jobs() == []

    async def test_of_concurrent_calls_with_one_key_those_of_one_definition_succeed(
        self, world: World, peer: MasterRepository
    ) -> None:
        accepted: dict[UUID, str] = {}
        refused: list[KeyTakenError] = []

        async def insert(master: MasterRepository, definition_id: str) -> None:
            new = [
                make_new_job(cluster_id=world.cluster_id, key=key, definition_id=definition_id)
                for key in (None, "order-1")
            ]
            try:
                receipts = await master.jobs.insert(new)
            except KeyTakenError as error:
                refused.append(error)
            else:
                accepted.update({receipt.job_id: definition_id for receipt in receipts})

        async with anyio.create_task_group() as group:
            for master in [world.master, peer] * 3:
                for definition_id in ("Bill", "Ship"):
                    group.start_soon(insert, master, definition_id)

        assert len(set(accepted.values())) == 1
        assert len(refused) == 6
        assert set(ids(await world.all_jobs())) == set(accepted)

    async def test_a_key_twice_in_a_call_is_stored_once(self, world: World) -> None:
        new = [make_new_job(cluster_id=world.cluster_id, key=key) for key in ("a", "b", "a", "b", "a")]

        receipts = await world.master.jobs.insert(new)

        assert [r.job_id for r in receipts] == [new[n].job.id for n in (0, 1, 0, 1, 0)]
        assert [r.created for r in receipts] == [True, True, False, False, False]

    async def test_known_and_new_jobs_in_one_call(self, world: World) -> None:
        known = await world.put_one(key="known")
        new = [
            make_new_job(cluster_id=world.cluster_id),
            make_new_job(cluster_id=world.cluster_id, key="known"),
            evolve(make_new_job(), job=known),
            make_new_job(cluster_id=world.cluster_id, key="other"),
        ]

        receipts = await world.master.jobs.insert(new)

        assert [r.job_id for r in receipts] == [new[0].job.id, known.id, known.id, new[3].job.id]
        assert [r.created for r in receipts] == [True, False, True, True]

    async def test_a_key_outlives_its_job_until_the_job_is_pruned(self, world: World) -> None:
        bucket = await world.bucket()
        first = await world.finished(bucket, key="k")
        [again] = await world.master.jobs.insert([make_new_job(bucket, key="k")])
        assert again == JobReceipt(job_id=first.id, accepted_by="master", created=False)
        await world.tick()
        assert await world.master.jobs.prune(world.cluster_id, 0, 10) == 1

        [free] = await world.master.jobs.insert([make_new_job(bucket, key="k")])

        assert free.created
        assert free.job_id != first.id

    async def test_keys_are_compared_exactly(self, world: World) -> None:
        keys = ["order", "Order", "order ", "ördre", "o%", "", "x" * 200]

        receipts = await world.master.jobs.insert(
            [make_new_job(cluster_id=world.cluster_id, key=key) for key in keys]
        )

        assert all(r.created for r in receipts)

    async def test_concurrent_calls_with_one_key_store_one_job(
        self, world: World, peer: MasterRepository
    ) -> None:
        receipts: list[JobReceipt] = []

        async def insert(master: MasterRepository) -> None:
            keyed = [make_new_job(cluster_id=world.cluster_id, key=f"key-{n}") for n in range(5)]
            receipts.extend(await master.jobs.insert(keyed))

        async with anyio.create_task_group() as group:
            for master in [world.master, peer] * 4:
                group.start_soon(insert, master)

        created = [r.job_id for r in receipts if r.created]
        assert len(created) == 5
        assert {r.job_id for r in receipts} == set(created)
        assert set(ids(await world.all_jobs())) == set(created)

    async def test_concurrent_calls_with_one_job_store_it_once(
        self, world: World, peer: MasterRepository
    ) -> None:
        bucket = await world.bucket()
        new = [make_new_job(bucket) for _ in range(5)]
        expected = [JobReceipt(job_id=n.job.id, accepted_by="master") for n in new]

        async def insert(master: MasterRepository) -> None:
            assert list(await master.jobs.insert(new)) == expected

        async with anyio.create_task_group() as group:
            for master in [world.master, peer] * 4:
                group.start_soon(insert, master)

        assert ids(await world.claims(bucket)) == sorted(n.job.id for n in new)

    async def test_concurrent_calls_with_keys_in_any_order_all_succeed(
        self, world: World, peer: MasterRepository
    ) -> None:
        keys = [f"key-{n}" for n in range(20)]
        receipts: list[JobReceipt] = []

        async def insert(master: MasterRepository, ordered: list[str]) -> None:
            new = [make_new_job(cluster_id=world.cluster_id, key=key) for key in ordered]
            receipts.extend(await master.jobs.insert(new))

        async with anyio.create_task_group() as group:
            for master in [world.master, peer] * 2:
                group.start_soon(insert, master, keys)
                group.start_soon(insert, master, keys[::-1])

        assert len(receipts) == 8 * len(keys)
        assert sum(r.created for r in receipts) == len(keys)

    async def test_many_jobs_in_one_call(self, world: World) -> None:
        bucket = await world.bucket()
        new = [make_new_job(bucket, data={"n": n}) for n in range(2000)]

        receipts = await world.master.jobs.insert(new)

        assert [r.job_id for r in receipts] == [n.job.id for n in new]
        assert len(await world.claims(bucket, 3000)) == 2000

    async def test_jobs_of_many_bytes_are_stored_together_or_not_at_all(self, world: World) -> None:
        text = "x" * (AT_ONCE // 2)
        await world.put_one(key="taken", definition_id="Other")
        new = [
            make_new_job(cluster_id=world.cluster_id, data={"text": text, "n": n}, key=key)
            for n, key in enumerate([None, None, "taken", None])
        ]

        with pytest.raises(KeyTakenError):
            await world.master.jobs.insert(new)
        assert len(await world.all_jobs()) == 1

        receipts = await world.master.jobs.insert([n for n in new if n.job.key is None])
        assert all(receipt.created for receipt in receipts)
        again = await world.master.jobs.insert([n for n in new if n.job.key is None])
        assert [receipt.job_id for receipt in again] == [receipt.job_id for receipt in receipts]
        assert len(await world.all_jobs()) == 4
