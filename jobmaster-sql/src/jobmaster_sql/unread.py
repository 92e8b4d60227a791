"""Taking jobs out of a bucket that its owner has not read."""

from __future__ import annotations

from attrs import evolve

from jobmaster.models import Bucket
from jobmaster_sql.bounds import MIN_PLACE, bound_of
from jobmaster_sql.driver import Dialect
from jobmaster_sql.units import Answer, Query, Unit


def take_unread(bucket: Bucket, taking: Query, dialect: Dialect) -> Unit[int]:
    """Take what a bucket's owner has not read, by a statement that receives the bound; return the number of jobs.

    The owner cannot move its bound meanwhile, and learns from the count that it has to read again.
    """
    bucket_id = dialect.uuid(bucket.id)
    state: Answer = yield Query("bucket_for_taking", {"id": bucket_id})
    if not state.rows:
        return 0
    ready_at, job_id = state.rows[0]
    bound = bound_of(ready_at, dialect.to_optional_uuid(job_id))
    place = MIN_PLACE if bound.fresh else bound.place
    if place is None:
        return 0
    behind = {"id": bucket_id, "ready_at": place[0], "job_id": dialect.uuid(place[1])}
    taken: Answer = yield evolve(taking, params={**taking.params, **behind})
    if taken.touched:
        yield Query("bucket_taken", {"id": bucket_id}, last=True)
    return taken.touched
