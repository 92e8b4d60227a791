"""Requirements for `AgentRepository` when messages leave it, and when an owner does."""
# ruff: noqa: D102, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

import pytest

from jobmaster.errors import LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import Cursor
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.world import SHORT, ids
from jobmaster_testing.factories import make_message


class LeavingContract(AgentTests, suite=True):
    """`messages.acknowledge`, `buckets.drop` and `claims.exposed`."""

    async def test_acknowledged_messages_are_gone(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, 3)
        done, *rest = await depot.pull(bucket)

        await depot.finish(bucket, done)
        await depot.agent.messages.acknowledge(bucket, [(done.job.id, done.attempt), (new_id(), 1)])
        await depot.agent.messages.acknowledge(bucket, [])

        assert ids(await depot.pull(bucket)) == ids(rest)
        assert await depot.holdings() == {bucket.id: 2}

    async def test_a_next_attempt_outlives_the_one_before(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        claim = await depot.claim(bucket)
        await depot.world.report(
            claim, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1
        )

        await depot.agent.messages.push([make_message(bucket, claim.job, attempt=2, saved=True)])
        await depot.agent.messages.acknowledge(bucket, [(claim.job.id, 1)])

        assert [(c.job.id, c.attempt) for c in await depot.pull(bucket)] == [(claim.job.id, 2)]

    async def test_a_bucket_is_dropped_once_it_is_empty(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        claim = await depot.claim(bucket)

        assert not await depot.agent.buckets.drop(bucket.id)
        await depot.finish(bucket, claim)

        assert await depot.agent.buckets.drop(bucket.id)
        assert await depot.agent.buckets.drop(bucket.id)

    # The next owner

    async def test_what_a_former_owner_had_in_hand_is_exposed(self, depot: Depot) -> None:
        bucket = await depot.bucket(lease=SHORT)
        await depot.push(bucket, 6)
        page = await depot.agent.claims.pull(bucket, Cursor(), 3)
        done, *in_hand = page.claims
        await depot.finish(bucket, done)

        [taken] = await depot.world.rescue()

        exposed = await depot.exposed(taken)
        assert set(ids(in_hand)) <= set(ids(exposed))
        assert done.job.id not in ids(exposed)
        assert {claim.epoch for claim in exposed} == {2}

    async def test_a_former_owner_can_pull_no_more(self, depot: Depot) -> None:
        former = await depot.bucket(lease=SHORT)
        await depot.push(former)
        await depot.agent.claims.pull(former, Cursor(), 10)
        [taken] = await depot.world.rescue()
        await depot.agent.claims.exposed(taken, 10)

        with pytest.raises(LeaseLostError):
            await depot.agent.claims.pull(former, Cursor(), 10)

        assert len(await depot.pull(taken)) == 1
