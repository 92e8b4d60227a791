"""Reading buckets: on masters, whose live rows are the buckets, and on agents, with messages of their own.

Both have statements of the same names for it: `bucket_page`, `bucket_page_but`, `bucket_state`, `bucket_claim_to`,
`bucket_due`, `bucket_lost_at`, `bucket_exposed`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from attrs import frozen

from jobmaster.models import Bucket, BucketPage, Cursor
from jobmaster_sql.claims import (
    END_OF_TIME,
    MIN_PLACE,
    Bound,
    Place,
    bound_after,
    bound_of,
    cursor_after,
    start_of,
)
from jobmaster_sql.rows import Row, claims_of, place_of
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


class BucketReader(SqlStore):
    """Reads the buckets of owners, and what former owners may have had in hand."""

    async def _read_bucket(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID]
    ) -> BucketPage:
        """Read what is due beyond the cursor, and put on record what may be in hand before any of it is.

        Reading takes no transaction. The record is written afterwards, if it has to change at all (for most pages of
        who keeps up it has not): under the epoch that the page was read at, so that it tells whoever takes the bucket over
        what is handed out here, or fails, and nothing is.
        """
        found = await self._driver.run(lambda: self._find(bucket, cursor, limit, known), read_only=True)
        if found.bound != found.stored:
            await self._driver.run(lambda: self._claim_to(bucket, found.bound))
        return self._page(bucket, found)

    def _claim_to(self, bucket: Bucket, bound: Bound) -> Unit[None]:
        ready_at, job_id = bound.place or (None, None)
        params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch, "ready_at": ready_at}
        params["job_id"] = self._dialect.optional_uuid(job_id)
        written: Answer = yield Query("bucket_claim_to", params, last=True)
        if not written.touched:
            raise lease_lost(bucket.id, bucket.epoch)

    def _find(self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID]) -> Unit[_Found]:
        """Return the rows of a page, with the bucket's bound as it is stored and as it has to be."""
        bucket_id, began = self._dialect.uuid(bucket.id), self._began()
        name, of_known, limit = self._without(known, limit)
        params = {**self._page_params(bucket_id, start_of(cursor), limit), **of_known, **began}
        # The epoch is read after the page: what is handed out was read while the bucket was the caller's.
        answers: list[Answer] = yield (
            Query(name, params),
            Query("bucket_state", {"id": bucket_id, **began}),
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
            bound=bound_after(stored, cursor, last, now, more=more),
        )

    def _without(self, known: Collection[UUID], limit: int) -> tuple[str, Mapping[str, Any], int]:
        """Return the statement that reads a page, what it is told of known jobs, and how many others it may return."""
        if not 0 < len(known) < limit:
            return "bucket_page", {}, limit
        return "bucket_page_but", {"known": self._dialect.uuids(list(known))}, limit - len(known)

    def _page(self, bucket: Bucket, found: _Found) -> BucketPage:
        """Decode what was found: last, so that a page of a bucket that was lost meanwhile is not decoded in vain."""
        return BucketPage(
            claims=claims_of(found.rows, bucket, self._dialect),
            cursor=found.cursor,
            more=found.more,
            next_due_in=found.next_due_in,
        )

    def _began(self) -> Mapping[str, Any]:
        """Return what tells statements when the unit began, where they cannot ask by themselves."""
        return {}

    def _page_params(self, bucket_id: Any, place: Place, limit: int) -> dict[str, Any]:
        job_id = self._dialect.uuid(place[1])
        return {"bucket_id": bucket_id, "ready_at": place[0], "job_id": job_id, "limit": limit + 1}

    def _due_buckets(self, bucket_ids: Sequence[UUID]) -> Unit[frozenset[UUID]]:
        """Return the ids of the buckets that hold something due."""
        answer: Answer = yield Query("bucket_due", {"ids": self._dialect.uuids(bucket_ids)}, last=True)
        return frozenset(self._dialect.to_uuid(row[0]) for row in answer.rows)

    def _exposed(self, bucket: Bucket, limit: int, state: Row) -> Unit[BucketPage]:
        """Return what a former owner may have had in hand; `state` is the row of `bucket_lost_at`."""
        _, lost_at, ready_at, job_id = state
        bound = bound_of(ready_at, self._dialect.to_optional_uuid(job_id))
        place = MIN_PLACE if bound.fresh else bound.place or END_OF_TIME
        params = self._page_params(self._dialect.uuid(bucket.id), place, limit) | {"lost_at": lost_at}
        found: Answer = yield Query("bucket_exposed", params, last=True)
        claims = claims_of(found.rows[:limit], bucket, self._dialect)
        return BucketPage(claims=claims, cursor=Cursor(), more=len(found.rows) > limit)


def _seconds_until(micros: int | None) -> float | None:
    return None if micros is None else max(0, micros) / 1_000_000
