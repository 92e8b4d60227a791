"""Reading buckets: on masters, whose live rows are the buckets, and on agents, with messages of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from attrs import evolve, frozen

from jobmaster.contracts import ClaimStore
from jobmaster.models import Bucket, BucketPage, Cursor
from jobmaster_sql.bounds import (
    END_OF_TIME,
    MIN_PLACE,
    Bound,
    Place,
    bound_after,
    bound_of,
    cursor_after,
    start_of,
)
from jobmaster_sql.rows import DATA_OF_CLAIM, Row, claims_of, micros, place_of
from jobmaster_sql.store import SqlStore, check_epoch
from jobmaster_sql.units import Answer, Query, Unit, whole_rows


@frozen(kw_only=True)
class _Found:
    """A page as the database returned it; `stored` and `bound` are the bucket's, before and after it.

    `taken` is how often unread jobs had been taken out of the bucket by then.
    """

    rows: Sequence[Row]
    more: bool
    cursor: Cursor
    next_due_in: float | None
    stored: Bound
    bound: Bound
    taken: int


class SqlClaimStore(SqlStore, ClaimStore):
    """Implements `ClaimStore`; the contract's docstrings say what each method does.

    Masters and agents use statements with the same names: `bucket_page`, `bucket_page_but`, `bucket_state`,
    `bucket_claim_to`, `bucket_due`, `bucket_lost_at`, `bucket_exposed`, `bucket_for_taking`, `bucket_taken`,
    `bucket_unread`, `bucket_epoch`.
    """

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read what is due beyond the cursor, and record what may be in flight before it is.

        Reading takes no transaction. The record is written afterwards, if it has to change at all (for most pages of an
        owner that keeps up it does not). It is written under the epoch that the page was read at: it either tells the next
        owner of the bucket what is returned here, or fails, and nothing is returned. What other callers take meanwhile lies
        behind the recorded bound, and is counted: if the count has changed since the last page, or changes before the record
        is written, jobs of this page may be gone, and the page is read again while nothing can be taken.
        """
        found = await self._look_into(bucket, cursor, limit, known)
        if cursor.taken is None:
            cursor = evolve(cursor, taken=found.taken)
            found = await self._look_into(bucket, cursor, limit, known)
        if found.taken != cursor.taken or not await self._is_on_record(bucket, found):
            found = await self._driver.run(lambda: self._find_undisturbed(bucket, cursor, limit, known))
        return self._page(bucket, found)

    async def _look_into(self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID]) -> _Found:
        return await self._driver.run(lambda: self._find(bucket, cursor, limit, known), read_only=True)

    async def _is_on_record(self, bucket: Bucket, found: _Found) -> bool:
        """Ensure that what was found may be in flight; return False if the bucket has changed since it was read."""
        if found.bound == found.stored:
            return True
        return await self._driver.run(lambda: self._claim_to(bucket, found))

    def _find_undisturbed(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID]
    ) -> Unit[_Found]:
        """Find and record in one unit, while nothing can be taken: for a caller that was disturbed."""
        yield Query("bucket_epoch", {"id": self._dialect.uuid(bucket.id)})
        found = yield from self._find(bucket, cursor, limit, known)
        if found.bound != found.stored:
            yield from self._claim_to(bucket, found)
        return found

    def _claim_to(self, bucket: Bucket, found: _Found) -> Unit[bool]:
        ready_at, job_id = found.bound.place or (None, None)
        params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch, "ready_at": ready_at}
        params |= {"job_id": self._dialect.optional_uuid(job_id), "taken": found.taken}
        written: Answer = yield Query("bucket_claim_to", params, last=True)
        return written.touched > 0

    def _find(self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID]) -> Unit[_Found]:
        """Return the rows of a page, with the bucket's bound as it is stored and as it has to be."""
        bucket_id, began = self._dialect.uuid(bucket.id), self.began()
        name, of_known, limit = self._without(known, limit)
        params = {**self._page_params(bucket_id, start_of(cursor), limit), **of_known, **began}
        # The epoch is read after the page: what is returned was read while the caller owned the bucket.
        answers: list[Answer] = yield (
            Query(name, params, weighed=DATA_OF_CLAIM),
            Query("bucket_state", {"id": bucket_id, **began}),
        )
        check_epoch(bucket, answers[1].rows)
        _, ready_at, job_id, taken, now, next_in = answers[1].rows[0]
        stored = bound_of(ready_at, self._dialect.to_optional_uuid(job_id))
        found, cut = whole_rows(answers[0].rows, DATA_OF_CLAIM)
        rows, more = found[:limit], cut or len(found) > limit
        last = place_of(rows[-1], self._dialect) if rows else None
        return _Found(
            rows=rows,
            more=more,
            cursor=evolve(cursor_after(last, now, more=more), taken=taken or 0),
            next_due_in=_seconds_until(next_in),
            stored=stored,
            bound=bound_after(stored, cursor, last, now, more=more),
            taken=taken or 0,
        )

    def _without(self, known: Collection[UUID], limit: int) -> tuple[str, Mapping[str, Any], int]:
        """Return the statement that reads a page, its parameters for known jobs, and how many others it may return."""
        if not 0 < len(known) < limit:
            return "bucket_page", {}, limit
        return "bucket_page_but", {"known": self._dialect.uuids(list(known))}, limit - len(known)

    def _page(self, bucket: Bucket, found: _Found) -> BucketPage:
        """Decode what was found: last, so that a page of a bucket that was lost meanwhile is not decoded."""
        return BucketPage(
            claims=claims_of(found.rows, bucket, self._dialect),
            cursor=found.cursor,
            more=found.more,
            next_due_in=found.next_due_in,
        )

    def began(self) -> Mapping[str, Any]:
        """Return the parameters that tell statements when the unit began, where they cannot find out themselves."""
        return {}

    def _page_params(self, bucket_id: Any, place: Place, limit: int) -> dict[str, Any]:
        job_id = self._dialect.uuid(place[1])
        return {"bucket_id": bucket_id, "ready_at": place[0], "job_id": job_id, "limit": limit + 1}

    async def due(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Return the ids of the buckets that hold something due."""
        params = {"ids": self._dialect.uuids([bucket.id for bucket in buckets])}
        return await self._driver.run(lambda: self._ids_of(Query("bucket_due", params)), read_only=True)

    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        """Return the ids of the buckets with something that has been due for `waited` seconds and was not read."""
        params = {"ids": self._dialect.uuids([bucket.id for bucket in buckets]), "waited": micros(waited)}
        return await self._driver.run(lambda: self._ids_of(Query("bucket_unread", params)), read_only=True)

    def _ids_of(self, query: Query) -> Unit[frozenset[UUID]]:
        answer: Answer = yield evolve(query, last=True)
        return frozenset(self._dialect.to_uuid(row[0]) for row in answer.rows)

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read the jobs that a former owner of this bucket may have had in flight."""
        return await self._driver.run(lambda: self.read_exposed(bucket, limit), read_only=True)

    def read_exposed(self, bucket: Bucket, limit: int) -> Unit[BucketPage]:
        """Return what a former owner may have had in flight; agents shut that owner out first."""
        state: Answer = yield Query("bucket_lost_at", {"id": self._dialect.uuid(bucket.id)})
        check_epoch(bucket, state.rows)
        return (yield from self.exposed_page(bucket, limit, state.rows[0]))

    def exposed_page(self, bucket: Bucket, limit: int, state: Row) -> Unit[BucketPage]:
        """Return what a former owner may have had in flight; `state` is the row of `bucket_lost_at`."""
        _, lost_at, ready_at, job_id = state
        bound = bound_of(ready_at, self._dialect.to_optional_uuid(job_id))
        place = MIN_PLACE if bound.fresh else bound.place or END_OF_TIME
        params = self._page_params(self._dialect.uuid(bucket.id), place, limit) | {"lost_at": lost_at}
        answer: Answer = yield Query("bucket_exposed", params, last=True, weighed=DATA_OF_CLAIM)
        found, cut = whole_rows(answer.rows, DATA_OF_CLAIM)
        claims = claims_of(found[:limit], bucket, self._dialect)
        return BucketPage(claims=claims, cursor=Cursor(), more=cut or len(found) > limit)


def _seconds_until(micros: int | None) -> float | None:
    return None if micros is None else max(0, micros) / 1_000_000
