"""Buckets and their owners on any SQL database."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any
from uuid import UUID

from attrs import evolve, frozen

from jobmaster.contracts import BucketStore
from jobmaster.models import Bucket, BucketPage, Cursor
from jobmaster.states import BucketStatus
from jobmaster_sql.claims import END_OF_TIME, Bound, Place, bound_after, bound_of, cursor_after, start_of
from jobmaster_sql.rows import Row, bucket_of, claims_of, place_of
from jobmaster_sql.store import SqlStore, check_epoch, lease_lost
from jobmaster_sql.units import Answer, Query, Unit


@frozen(kw_only=True)
class _Found:
    """A page as the database returned it; `stored` and `bound` are the bucket's, before and after it."""

    rows: Sequence[Row]
    more: bool
    cursor: Cursor
    next_due_in: float | None
    stored: Bound
    bound: Bound


class SqlBucketStore(SqlStore, BucketStore):
    """Implements `BucketStore`; the contract's docstrings say what each method does."""

    async def list_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return all buckets of the cluster."""
        return await self._driver.run(lambda: self._buckets("bucket_list", cluster_id), read_only=True)

    async def active_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return the buckets that take new jobs."""
        return await self._driver.run(lambda: self._buckets("bucket_active", cluster_id), read_only=True)

    def _buckets(self, name: str, cluster_id: str) -> Unit[list[Bucket]]:
        answer: Answer = yield Query(name, {"cluster_id": cluster_id}, last=True)
        return [bucket_of(row, self._dialect) for row in answer.rows]

    async def set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        """Change the status of an owned bucket; return whether it was still the caller's."""
        return await self._driver.run(lambda: self._set_bucket_status(bucket, status))

    def _set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> Unit[bool]:
        params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch, "status": status.code}
        answer: Answer = yield Query("bucket_set_status", params, last=True)
        return answer.touched > 0

    async def needs_rescue(self, cluster_id: str) -> bool:
        """Return whether a lease has run out, a bucket was left behind, or jobs lie where nobody reads."""
        return await self._driver.run(lambda: self._needs_rescue(cluster_id), read_only=True)

    def _needs_rescue(self, cluster_id: str) -> Unit[bool]:
        answer: Answer = yield Query("rescue_needed", {"cluster_id": cluster_id}, last=True)
        return bool(answer.rows)

    async def take_lost_buckets(self, cluster_id: str, rescuer: UUID, limit: int) -> Sequence[Bucket]:
        """Declare workers lost whose lease ran out, and take over buckets that were left behind."""
        return await self._driver.run(lambda: self._take_lost(cluster_id, rescuer, limit))

    def _take_lost(self, cluster_id: str, rescuer: UUID, limit: int) -> Unit[list[Bucket]]:
        left_behind = Query("bucket_left_behind", {"cluster_id": cluster_id, "limit": limit})
        answers: list[Answer] = yield Query("worker_expire", {"cluster_id": cluster_id}), left_behind
        if not answers[1].rows:
            return []
        found = {bucket_id: (owner, epoch) for bucket_id, owner, epoch in answers[1].rows}
        ids = self._dialect.array(list(found))
        take = Query("bucket_take", {"ids": ids, "rescuer": self._dialect.uuid(rescuer)})
        answers = yield take, Query("bucket_get", {"ids": ids}, last=True)
        taken = []
        for row in answers[1].rows:
            owner, epoch = found[row[0]]
            bucket = bucket_of(row, self._dialect)
            if bucket.epoch > epoch:
                taken.append(evolve(bucket, former_owner=self._dialect.to_uuid(owner)))
        return taken

    async def read_bucket(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Container[UUID] = ()
    ) -> BucketPage:
        """Read due jobs beyond the cursor, and put on record what may be in hand.

        While jobs trickle in there is nothing to record, and the page is read without a transaction. When
        that turns out to be wrong, it is read again in one.
        """
        if not cursor.bounded:
            page = await self._driver.run(lambda: self._look(bucket, cursor, limit, known), read_only=True)
            if page is not None:
                return page
        return await self._driver.run(lambda: self._read(bucket, cursor, limit, known))

    def _look(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Container[UUID]
    ) -> Unit[BucketPage | None]:
        found = yield from self._find(bucket, cursor, limit)
        return self._page(bucket, found, known) if found.bound == found.stored else None

    def _read(self, bucket: Bucket, cursor: Cursor, limit: int, known: Container[UUID]) -> Unit[BucketPage]:
        found = yield from self._find(bucket, cursor, limit)
        if found.bound != found.stored:
            ready_at, job_id = found.bound.place or (None, None)
            params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch, "ready_at": ready_at}
            params["job_id"] = self._dialect.optional_uuid(job_id)
            written: Answer = yield Query("bucket_claim_to", params, last=True)
            if not written.touched:
                raise lease_lost(bucket.id, bucket.epoch)
        return self._page(bucket, found, known)

    def _find(self, bucket: Bucket, cursor: Cursor, limit: int) -> Unit[_Found]:
        """Return the rows of a page, with the bucket's bound as it is stored and as it has to be."""
        bucket_id = self._dialect.uuid(bucket.id)
        # The epoch is read after the page: what is handed out was read while the bucket was the caller's.
        answers: list[Answer] = yield (
            Query("bucket_page", self._page_params(bucket_id, start_of(cursor), limit)),
            Query("bucket_state", {"id": bucket_id}),
        )
        check_epoch(bucket, answers[1].rows)
        _, ready_at, job_id, now, next_in = answers[1].rows[0]
        stored = bound_of(ready_at, self._dialect.to_optional_uuid(job_id))
        rows, more = answers[0].rows[:limit], len(answers[0].rows) > limit
        last = place_of(rows[-1], self._dialect) if rows else None
        return _Found(
            rows=rows,
            more=more,
            cursor=cursor_after(last, now, more=more),
            next_due_in=_seconds_until(next_in),
            stored=stored,
            bound=bound_after(stored, cursor, last if more else None, now),
        )

    def _page(self, bucket: Bucket, found: _Found, known: Container[UUID]) -> BucketPage:
        """Decode what was found: last, so that a page which has to be read again was not decoded in vain."""
        return BucketPage(
            claims=claims_of(found.rows, bucket, self._dialect, known),
            cursor=found.cursor,
            more=found.more,
            next_due_in=found.next_due_in,
        )

    async def due_buckets(self, bucket_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Return the ids of the buckets that hold a job that is due."""
        return await self._driver.run(lambda: self._due_buckets(bucket_ids), read_only=True)

    def _due_buckets(self, bucket_ids: Sequence[UUID]) -> Unit[frozenset[UUID]]:
        answer: Answer = yield Query("bucket_due", {"ids": self._dialect.uuids(bucket_ids)}, last=True)
        return frozenset(self._dialect.to_uuid(row[0]) for row in answer.rows)

    def _page_params(self, bucket_id: Any, place: Place, limit: int) -> dict[str, Any]:
        job_id = self._dialect.uuid(place[1])
        return {"bucket_id": bucket_id, "ready_at": place[0], "job_id": job_id, "limit": limit + 1}

    async def read_exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read the jobs that a former owner of this bucket may have had in hand."""
        return await self._driver.run(lambda: self._read_exposed(bucket, limit), read_only=True)

    def _read_exposed(self, bucket: Bucket, limit: int) -> Unit[BucketPage]:
        bucket_id = self._dialect.uuid(bucket.id)
        state: Answer = yield Query("bucket_lost_at", {"id": bucket_id})
        check_epoch(bucket, state.rows)
        _, lost_at, ready_at, job_id = state.rows[0]
        bound = bound_of(ready_at, self._dialect.to_optional_uuid(job_id))
        params = self._page_params(bucket_id, bound.place or END_OF_TIME, limit) | {"lost_at": lost_at}
        found: Answer = yield Query("bucket_exposed", params, last=True)
        claims = claims_of(found.rows[:limit], bucket, self._dialect, known=())
        return BucketPage(claims=claims, cursor=Cursor(), more=len(found.rows) > limit)

    async def bucket_holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        """Return the number of live jobs by bucket id, for every bucket that has any."""
        return await self._driver.run(lambda: self._holdings(cluster_id), read_only=True)

    def _holdings(self, cluster_id: str) -> Unit[dict[UUID, int]]:
        answer: Answer = yield Query("bucket_holdings", {"cluster_id": cluster_id}, last=True)
        return {self._dialect.to_uuid(bucket_id): count for bucket_id, count in answer.rows}

    async def release_bucket(self, bucket: Bucket) -> int:
        """Hold all jobs of an owned bucket on the master again; return their number."""
        return await self._driver.run(lambda: self._release(bucket))

    def _release(self, bucket: Bucket) -> Unit[int]:
        yield from self._lock_owned(bucket)
        params = {"bucket_id": self._dialect.uuid(bucket.id)}
        answer: Answer = yield Query("bucket_release", params, last=True)
        return answer.touched

    async def sweep_orphans(self, cluster_id: str) -> int:
        """Hold jobs on the master again that lie in buckets nobody will ever read."""
        orphans = await self._driver.run(self._orphans, read_only=True)
        if not orphans:
            return 0
        return await self._driver.run(lambda: self._sweep(cluster_id, orphans))

    def _orphans(self) -> Unit[list[Any]]:
        answer: Answer = yield Query("bucket_orphans", last=True)
        return [row[0] for row in answer.rows]

    def _sweep(self, cluster_id: str, orphans: Sequence[Any]) -> Unit[int]:
        params = {"cluster_id": cluster_id, "ids": self._dialect.array(orphans)}
        answer: Answer = yield Query("bucket_sweep", params, last=True)
        return answer.touched


def _seconds_until(micros: int | None) -> float | None:
    return None if micros is None else max(0, micros) / 1_000_000
