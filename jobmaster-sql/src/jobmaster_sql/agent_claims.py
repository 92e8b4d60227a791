"""Reading the buckets of an agent on any SQL database."""

from __future__ import annotations

from jobmaster.models import Bucket, BucketPage
from jobmaster_sql.claims import SqlClaimStore
from jobmaster_sql.store import check_epoch
from jobmaster_sql.units import Answer, Query, Unit


class SqlAgentClaimStore(SqlClaimStore):
    """Claims messages for the owners of buckets; the contract's docstrings say what each method does."""

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Shut a former owner out, and read what it may have had in flight."""
        return await self._driver.run(lambda: self.read_exposed(bucket, limit))

    def read_exposed(self, bucket: Bucket, limit: int) -> Unit[BucketPage]:
        params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch}
        answers: list[Answer] = yield Query("bucket_take", params), Query("bucket_lost_at", params)
        check_epoch(bucket, answers[1].rows)
        return (yield from self.exposed_page(bucket, limit, answers[1].rows[0]))
