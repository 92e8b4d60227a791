"""Requirements for an agent's `ClaimStore` when an owner reads its bucket."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from uuid import UUID

import anyio

from jobmaster.models import BucketPage, Claim, Cursor
from jobmaster.weighing import PAGE_BYTES
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.depot import Depot, job_ids
from jobmaster_testing.contracts.world import ids
from jobmaster_testing.factories import make_message
from jobmaster_testing.probes import until


class PullingContract(AgentTests, suite=True):
    """`claims.pull` and `claims.due`."""

    async def test_an_empty_bucket_has_nothing_to_pull(self, depot: Depot) -> None:
        page = await depot.agent.claims.pull(await depot.bucket(), Cursor(), 10)

        assert (list(page.claims), page.more, page.next_due_in) == ([], False, None)

    async def test_a_pulled_claim_carries_the_job(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = await depot.push_one(bucket, data={"name": "Ann", "n": 1}, metadata={"m": 2.5})

        [claim] = await depot.pull(bucket)

        assert claim == Claim(
            job=message.new.job,
            bucket_id=bucket.id,
            epoch=1,
            attempt=1,
            ready_at=claim.ready_at,
            saved=claim.saved,
        )

    async def test_messages_come_by_due_time_and_id(self, depot: Depot) -> None:
        needs(depot.agent.capabilities.ordered, "ordered")
        bucket = await depot.bucket()
        for _ in range(3):
            await depot.agent.messages.push([make_message(bucket) for _ in range(3)][::-1])
            await depot.tick()

        claims = await depot.pull(bucket)

        assert [(c.ready_at, c.job.id) for c in claims] == sorted((c.ready_at, c.job.id) for c in claims)
        assert len(claims) == 9

    async def test_messages_wait_until_they_are_due(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, delay=60)
        soon = await depot.push(bucket, delay=1.0)

        page = await depot.agent.claims.pull(bucket, Cursor(), 10)
        assert not page.claims
        assert page.next_due_in is not None
        assert page.next_due_in <= 1.0

        claims = await until(lambda: depot.pull(bucket), what="the message to be due")
        assert ids(claims) == job_ids(soon)
        assert await depot.agent.now() >= claims[0].ready_at

    async def test_pulled_pages_follow_one_another(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 5)

        cursor, seen, more = Cursor(), list[UUID](), list[bool]()
        for _ in range(3):
            page = await depot.agent.claims.pull(bucket, cursor, 2)
            cursor, seen = page.cursor, seen + ids(page.claims)
            more.append(page.more)

        assert sorted(seen) == job_ids(messages)
        assert more == [True, True, False]

    async def test_pulling_deletes_nothing(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, 3)

        assert await depot.pull(bucket) == await depot.pull(bucket)
        assert await depot.holdings() == {bucket.id: 3}

    async def test_messages_in_hand_may_be_left_out_and_no_others(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 5)
        page = await depot.agent.claims.pull(bucket, Cursor(), 3)
        known = {page.claims[1].job.id}

        again = await depot.agent.claims.pull(bucket, Cursor(), 3, known)
        rest = await depot.agent.claims.pull(bucket, again.cursor, 3, known)

        assert set(ids(page.claims)) - known <= set(ids(again.claims)) <= set(ids(page.claims))
        assert set(ids(again.claims)) | set(ids(rest.claims)) | known == set(job_ids(messages))

    async def test_messages_that_become_visible_late_are_not_skipped(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = [make_message(bucket) for _ in range(60)]
        seen: set[UUID] = set()

        async def push(start: int) -> None:
            for first in range(start, 60, 12):
                await depot.agent.messages.push(messages[first : first + 3])

        async def read() -> None:
            cursor = Cursor()
            while len(seen) < len(messages):
                page = await depot.agent.claims.pull(bucket, cursor, 7)
                cursor = page.cursor
                seen.update(ids(page.claims))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                for start in (0, 3, 6, 9):
                    group.start_soon(push, start)

        assert seen == set(job_ids(messages))

    async def test_a_glance_names_the_buckets_with_something_due(self, depot: Depot) -> None:
        due, empty, later, other = await depot.buckets(4)
        await depot.push(due, 2)
        await depot.push(later, delay=30)
        await depot.push(other)

        assert await depot.agent.claims.due([due, empty, later]) == {due.id}

    async def test_a_glance_sees_what_is_in_hand_until_it_is_acknowledged(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        claim = await depot.claim(bucket)
        assert await depot.agent.claims.due([bucket]) == {bucket.id}

        await depot.finish(bucket, claim)

        assert await depot.agent.claims.due([bucket]) == frozenset()

    async def test_a_page_of_large_messages_is_short_and_none_is_left_out(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        text = "x" * (PAGE_BYTES // 2)
        jobs = [depot.job(data={"text": text, "n": n}) for n in range(3)]
        for job in jobs:
            await depot.agent.messages.push([make_message(bucket, job)])

        for known in ([], [jobs[0].id, jobs[1].id]):
            cursor, pages = Cursor(), list[BucketPage]()
            while not pages or pages[-1].more:
                pages.append(await depot.agent.claims.pull(bucket, cursor, 100, known))
                cursor = pages[-1].cursor

            found = {claim.job.id for page in pages for claim in page.claims}
            assert found - set(known) == {job.id for job in jobs} - set(known)
            assert max(sum(claim.job.data.size for claim in page.claims) for page in pages) < 2 * PAGE_BYTES
