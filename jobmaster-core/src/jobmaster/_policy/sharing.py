"""Which owners are short of work, which ones are silent, and how much a bucket may hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from attrs import frozen

from jobmaster._policy.placement import Place, by_place
from jobmaster.models import Bucket

UNREAD_FOR: Final = 0.7
"""Seconds after which a due job that its owner has not read is taken back, while slots elsewhere are free. The job should
start within about a second, and has to be found and passed on first."""
PATIENCE: Final = 1.0
"""Seconds for which jobs of a place must have waited on the master before new ones queue up behind them."""
LATE: Final = 1.25
"""Number of heartbeat intervals after which a heartbeat counts as missed."""


def hungry(buckets: Iterable[Bucket]) -> frozenset[Place]:
    """Return the places in which a bucket has free slots."""
    return frozenset((bucket.lane, bucket.priority) for bucket in buckets if bucket.free > 0)


def limits(buckets: Iterable[Bucket]) -> Mapping[UUID, int]:
    """Return how many jobs each bucket of one place may hold at most, as far as that is known.

    Owners make an offer once they have had more jobs than they start within a second. Owners without an offer are taken
    to be like the others. There are no limits while no owner makes an offer: then all are idle, or quick. An owner that
    is alone has no limit either.
    """
    known = {bucket.id: bucket.offered for bucket in buckets}
    is_alone = len(known) == 1
    offers = [offered for offered in known.values() if offered is not None]
    if not offers or is_alone:
        return {}
    typical = max(1, sum(offers) // len(offers))
    return {id_: typical if offered is None else max(1, offered) for id_, offered in known.items()}


@frozen
class Silence:
    """Which owners are silent: they get nothing while others serve the same lane and priority.

    They have left due jobs unread and shown no sign of life since, or missed a heartbeat: `longest` is how many seconds
    an owner may be unheard without having missed one.
    """

    longest: float

    def is_silent(self, bucket: Bucket) -> bool:
        """Return whether a bucket's owner is silent; `bucket` is as `buckets.list_active` returns it."""
        return bucket.silent or bucket.unheard > self.longest

    def heard(self, buckets: Iterable[Bucket]) -> list[Bucket]:
        """Return the buckets without those of silent owners, unless no other bucket does their work."""
        listed = list(buckets)
        awake = [bucket for bucket in listed if not self.is_silent(bucket)]
        served = by_place(awake)
        alone = [bucket for bucket in listed if (bucket.lane, bucket.priority) not in served]
        return [*awake, *alone] if alone else awake
