"""Requirements for a master's `ClaimStore` when an owner reads its bucket."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import anyio
import pytest

from jobmaster.contracts import MasterRepository
from jobmaster.errors import LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, BucketPage, Claim, Cursor, JobRecord
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster.weighing import PAGE_BYTES
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import MOMENT, SHORT, World, ids, room
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.probes import until


class ReadingContract(MasterTests, suite=True):
    """Pulling jobs, and what the store records about it for the next owner."""

    async def test_an_empty_bucket(self, world: World) -> None:
        bucket = await world.bucket()

        page = await world.master.claims.pull(bucket, Cursor(), 10)

        assert (list(page.claims), page.more, page.next_due_in) == ([], False, None)

    async def test_a_claim_carries_the_job_as_it_was_accepted(self, world: World) -> None:
        bucket = await world.bucket()
        before = await world.master.now()
        job = await world.put_one(bucket, data={"name": "John"}, metadata={"category": "demo"}, key="k-1")

        [claim] = await world.claims(bucket)

        assert before <= claim.ready_at <= await world.master.now()
        assert claim == Claim(job=job, bucket_id=bucket.id, epoch=1, attempt=1, ready_at=claim.ready_at)

    async def test_a_page_of_large_jobs_is_short_and_none_is_left_out(self, world: World) -> None:
        bucket = await world.bucket()
        text = "x" * (PAGE_BYTES // 2)
        jobs = [await world.put_one(bucket, data={"text": text, "n": n}) for n in range(3)]
        jobs += await world.put(bucket, 3)

        cursor, pages = Cursor(), list[BucketPage]()
        while not pages or pages[-1].more:
            pages.append(await world.master.claims.pull(bucket, cursor, 100))
            cursor = pages[-1].cursor

        sizes = [sum(claim.job.data.size for claim in page.claims) for page in pages]
        assert max(sizes) < 2 * PAGE_BYTES
        assert sorted(claim.job.id for page in pages for claim in page.claims) == sorted(ids(jobs))
        assert len(pages) > 1

    async def test_claims_come_by_due_time_and_then_by_id(self, world: World) -> None:
        bucket = await world.bucket()
        smaller, greater = [new_id() for _ in range(3)], [new_id() for _ in range(3)]
        await world.insert(*(make_new_job(bucket, id=job_id) for job_id in greater))
        await world.tick()
        await world.insert(*(make_new_job(bucket, id=job_id) for job_id in reversed(smaller)))

        claims = await world.claims(bucket)

        assert set(ids(claims)[:3]) == set(greater)
        assert set(ids(claims)[3:]) == set(smaller)
        assert [(c.ready_at, c.job.id) for c in claims] == sorted((c.ready_at, c.job.id) for c in claims)

    async def test_what_the_caller_knows_may_be_left_out_and_nothing_else(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 5)
        everything = await world.master.claims.pull(bucket, Cursor(), 3)
        known = {everything.claims[1].job.id}

        page = await world.master.claims.pull(bucket, Cursor(), 3, known)
        rest = await world.master.claims.pull(bucket, page.cursor, 3, known)

        assert set(ids(everything.claims)) - known <= set(ids(page.claims)) <= set(ids(everything.claims))
        assert (page.cursor, page.more) == (everything.cursor, everything.more)
        assert len(set(ids(page.claims)) | set(ids(rest.claims)) | known) == 5

    async def test_jobs_that_are_not_due_stay(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, delay=90)
        await world.put(bucket, delay=30)

        page = await world.master.claims.pull(bucket, Cursor(), 10)

        assert not page.claims
        assert not page.more
        assert page.next_due_in is not None
        assert 20 < page.next_due_in <= 30

    async def test_a_page_says_when_the_next_job_is_due(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket)
        await world.put(bucket, delay=30)

        page = await world.master.claims.pull(bucket, Cursor(), 10)

        assert len(page.claims) == 1
        assert page.next_due_in is not None
        assert 20 < page.next_due_in <= 30

    async def test_a_job_is_handed_out_once_it_is_due(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket, delay=0.1)
        due_at = (await world.record(job)).ready_at
        assert due_at is not None

        claims = await until(lambda: world.claims(bucket), what="the job to be due")

        assert ids(claims) == [job.id]
        assert await world.master.now() >= due_at

    async def test_the_delay_decides_and_not_the_clock_of_the_host(self, world: World) -> None:
        bucket = await world.bucket()
        day = timedelta(days=1)
        now = await world.put_one(bucket, scheduled_at=datetime.now(UTC) + day)
        await world.put_one(bucket, delay=30, scheduled_at=datetime.now(UTC) - day)

        assert ids(await world.claims(bucket)) == [now.id]

    async def test_a_bucket_hands_out_its_own_jobs_only(self, world: World) -> None:
        bucket, other = await world.buckets(2)
        mine = await world.put_one(bucket)
        await world.put_one(other)
        await world.put_one()

        assert ids(await world.claims(bucket)) == [mine.id]

    async def test_reading_changes_no_status_and_deletes_nothing(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(bucket, 3)

        first = await world.claims(bucket)
        second = await world.claims(bucket)

        assert ids(first) == ids(second) == sorted(ids(jobs))
        assert {await world.status(job) for job in jobs} == {JobStatus.ASSIGNED_TO_BUCKET}

    async def test_pages_follow_one_another(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(bucket, 5)
        cursor, pages = Cursor(), []
        for _ in range(3):
            page = await world.master.claims.pull(bucket, cursor, 2)
            pages.append((ids(page.claims), page.more))
            cursor = page.cursor

        expected = sorted(ids(jobs))
        assert pages == [(expected[:2], True), (expected[2:4], True), (expected[4:], False)]

    async def test_a_page_that_takes_just_all_has_no_more(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 3)
        await world.put(bucket, delay=30)

        page = await world.master.claims.pull(bucket, Cursor(), 3)

        assert len(page.claims) == 3
        assert not page.more

    async def test_finished_jobs_are_not_handed_out_again(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(bucket, 4)
        claims = await world.claims(bucket, 2)
        for claim in claims:
            await world.report(claim)

        assert set(ids(await world.claims(bucket))) == set(ids(jobs)) - set(ids(claims))

    async def test_a_job_that_comes_between_two_pages_is_not_skipped(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(bucket, 4)
        page = await world.master.claims.pull(bucket, Cursor(), 2)
        assigned = await world.put_one(lane=bucket.lane, priority=bucket.priority)
        await world.assign(room(bucket))
        jobs += [assigned, *await world.put(bucket, 2)]

        seen = set(ids(page.claims)) | await _read_on(world, bucket, page.cursor, pages=4)

        assert seen == set(ids(jobs))

    async def test_a_job_put_back_between_two_pages_is_not_skipped(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 4)
        page = await world.master.claims.pull(bucket, Cursor(), 2)
        again = page.claims[0]
        await world.report(again, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1)

        assert again.job.id in await _read_on(world, bucket, page.cursor, pages=3)

    async def test_jobs_that_become_visible_late_are_not_skipped(
        self, world: World, peer: MasterRepository
    ) -> None:
        bucket = await world.bucket()
        jobs = [make_new_job(bucket) for _ in range(120)]
        seen: set[UUID] = set()

        async def insert(master: MasterRepository, start: int) -> None:
            for first in range(start, 120, 12):
                await master.jobs.insert(jobs[first : first + 3])

        async def read() -> None:
            cursor = Cursor()
            while len(seen) < len(jobs):
                page = await world.master.claims.pull(bucket, cursor, 7)
                cursor = page.cursor
                seen.update(ids(page.claims))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                for number, master in enumerate([world.master, peer, world.master, peer]):
                    group.start_soon(insert, master, number * 3)

        assert seen == {new.job.id for new in jobs}

    # What a later owner learns

    async def test_when_all_was_handed_out_all_is_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        jobs = await world.put(bucket, 4)
        await world.claims(bucket)

        assert await _exposed_after_rescue(world) == set(ids(jobs))

    async def test_when_nothing_was_read_every_due_job_may_be_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        jobs = await world.put(bucket, 2)
        await world.put(bucket, delay=30)

        assert await _exposed_after_rescue(world) <= set(ids(jobs))

    async def test_after_a_page_with_more_only_the_claimed_jobs_are_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        await world.put(bucket, 5)
        page = await world.master.claims.pull(bucket, Cursor(), 2)
        assert page.more

        assert await _exposed_after_rescue(world) == set(ids(page.claims))

    async def test_after_several_pages_all_of_them_are_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        await world.put(bucket, 5)
        first = await world.master.claims.pull(bucket, Cursor(), 2)
        second = await world.master.claims.pull(bucket, first.cursor, 2)
        assert second.more

        assert await _exposed_after_rescue(world) == set(ids([*first.claims, *second.claims]))

    async def test_after_the_last_page_everything_is_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        jobs = await world.put(bucket, 5)
        first = await world.master.claims.pull(bucket, Cursor(), 3)
        last = await world.master.claims.pull(bucket, first.cursor, 3)
        assert not last.more

        assert await _exposed_after_rescue(world) == set(ids(jobs))

    async def test_jobs_in_hand_stay_exposed_when_a_later_page_is_smaller(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        in_hand = await world.put(bucket, 4)
        page = await world.master.claims.pull(bucket, Cursor(), 10)
        assert not page.more
        await world.tick()
        await world.put(bucket, 4)
        await world.master.claims.pull(bucket, page.cursor, 2)

        assert set(ids(in_hand)) <= await _exposed_after_rescue(world)

    async def test_jobs_in_hand_stay_exposed_when_the_owner_starts_over(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        await world.put(bucket, 6)
        page = await world.master.claims.pull(bucket, Cursor(), 4)
        assert page.more
        await world.master.claims.pull(bucket, Cursor(bounded=page.cursor.bounded), 2)

        assert set(ids(page.claims)) <= await _exposed_after_rescue(world)

    async def test_jobs_that_came_a_moment_after_the_last_one_was_read_are_not_exposed(
        self, world: World
    ) -> None:
        bucket = await world.bucket(lease=SHORT)
        in_hand = await world.claim(bucket)
        late = await world.record(await world.put_one(bucket, delay=MOMENT))
        await until(lambda: _is_due(world, late), what="the late job to be due")

        assert await _exposed_after_rescue(world) == {in_hand.job.id}

    async def test_what_nobody_ever_read_is_not_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        await world.claims(bucket)
        await world.put(bucket)

        assert await _exposed_after_rescue(world) == set()

    async def test_finished_jobs_are_not_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        await world.put(bucket, 3)
        done, *rest = await world.claims(bucket)
        await world.report(done)

        assert await _exposed_after_rescue(world) == set(ids(rest))

    async def test_jobs_that_came_after_the_loss_are_not_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        jobs = await world.put(bucket, 2)
        await world.claims(bucket)
        [taken] = await world.rescue()
        await world.tick()
        late = await world.put_one(bucket)

        assert await _exposed(world, taken) == set(ids(jobs))
        assert late.id in ids(await world.claims(taken))

    async def test_exposed_jobs_come_in_pages(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        jobs = await world.put(bucket, 5)
        await world.claims(bucket)
        [taken] = await world.rescue()

        seen: list[list[UUID]] = []
        while claims := (page := await world.master.claims.exposed(taken, 2)).claims:
            assert page.more == (len(claims) == 2)
            seen.append(ids(claims))
            for claim in claims:
                await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.LOST)

        assert [len(page_ids) for page_ids in seen] == [2, 2, 1]
        assert {job_id for page_ids in seen for job_id in page_ids} == set(ids(jobs))

    async def test_exposed_claims_belong_to_the_new_owner(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        claim = await world.claim(bucket)
        [taken] = await world.rescue()

        [exposed] = (await world.master.claims.exposed(taken, 10)).claims

        assert exposed == Claim(
            job=claim.job, bucket_id=bucket.id, epoch=2, attempt=1, ready_at=claim.ready_at
        )

    async def test_the_first_loss_decides_what_is_exposed(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        jobs = await world.put(bucket, 2)
        await world.claims(bucket)
        await world.rescue(rescuer=await world.worker(lease=SHORT))
        await world.tick()
        await world.put_one(bucket)

        assert await _exposed_after_rescue(world) == set(ids(jobs))

    # Fencing

    async def test_a_former_owner_cannot_read(self, world: World) -> None:
        former = await world.bucket(lease=SHORT)
        job = await world.put_one(former)
        [taken] = await world.rescue()

        with pytest.raises(LeaseLostError):
            await world.master.claims.pull(former, Cursor(), 10)

        assert ids(await world.claims(taken)) == [job.id]

    async def test_a_bucket_that_is_gone_belongs_to_nobody(self, world: World) -> None:
        bucket = await world.bucket()
        await world.close_bucket(bucket)
        await world.tick()
        await world.master.workers.prune(world.cluster_id, 0)

        with pytest.raises(LeaseLostError):
            await world.master.claims.pull(bucket, Cursor(), 10)

    async def test_holdings_count_live_jobs_by_bucket(self, world: World) -> None:
        bucket, empty = await world.buckets(2)
        unregistered = new_id()
        await world.put(bucket, 3)
        await world.put(bucket, delay=30)
        await world.finished(bucket)
        await world.insert(make_new_job(unregistered, cluster_id=world.cluster_id))
        await world.put_one()

        holdings = dict(await world.master.buckets.holdings(world.cluster_id))

        assert holdings == {bucket.id: 4, unregistered: 1}
        assert empty.id not in holdings


async def _read_on(world: World, bucket: Bucket, cursor: Cursor, *, pages: int) -> set[UUID]:
    """Read some more pages of two jobs, as an owner does, and return the ids of the jobs that were read."""
    seen: set[UUID] = set()
    for _ in range(pages):
        page = await world.master.claims.pull(bucket, cursor, 2)
        seen.update(ids(page.claims))
        cursor = page.cursor
    return seen


async def _is_due(world: World, job: JobRecord) -> bool:
    assert job.ready_at is not None
    return await world.master.now() >= job.ready_at


async def _exposed(world: World, bucket: Bucket) -> set[UUID]:
    return set(ids((await world.master.claims.exposed(bucket, 1000)).claims))


async def _exposed_after_rescue(world: World) -> set[UUID]:
    [taken] = await world.rescue()
    return await _exposed(world, taken)
