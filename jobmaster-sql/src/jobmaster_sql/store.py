"""What the stores of a repository have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from jobmaster.errors import LeaseLostError
from jobmaster.models import Bucket
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.units import Answer, Query, Unit


class SqlStore:
    """A store whose units of work run on a driver."""

    def __init__(self, driver: SqlDriver) -> None:
        """`driver` is shared by all stores of a repository."""
        self._driver = driver
        self._dialect: Dialect = driver.dialect


def lock_owned(bucket: Bucket, dialect: Dialect) -> Unit[None]:
    """Lock an owned bucket's row to the end of the unit; raises `LeaseLostError` if the bucket was taken over."""
    answer: Answer = yield Query("bucket_epoch", {"id": dialect.uuid(bucket.id)})
    check_epoch(bucket, answer.rows)


def check_epoch(bucket: Bucket, rows: Sequence[Sequence[Any]]) -> None:
    """Raise `LeaseLostError` unless the first column of the first row is the bucket's epoch."""
    if not rows or rows[0][0] != bucket.epoch:
        raise lease_lost(bucket.id, bucket.epoch)


def lease_lost(bucket_id: UUID, epoch: int) -> LeaseLostError:
    """Return the error for a bucket that the caller no longer owns."""
    return LeaseLostError(f"bucket {bucket_id} is no longer owned at epoch {epoch}")
