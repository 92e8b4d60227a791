"""Who is short of work, who does nothing about what it has, and what a bucket is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from attrs import frozen

from jobmaster._policy.placement import Place, by_place
from jobmaster.models import Bucket

UNREAD_FOR: Final = 0.7
"""Seconds after which a due job that its owner has not read is taken back, while slots elsewhere are free. It is to begin
within about a second, and has to be found and passed on."""
PATIENCE: Final = 1.0
"""Seconds for which jobs of a place have to have waited on the master for new ones to queue up behind them."""
LATE: Final = 1.25
"""Heartbeats after which one that has not come was missed."""


def hungry(buckets: Iterable[Bucket]) -> frozenset[Place]:
    """Return the places in which some bucket has free slots."""
    return frozenset((bucket.lane, bucket.priority) for bucket in buckets if bucket.free > 0)


def limits(buckets: Iterable[Bucket]) -> Mapping[UUID, int]:
    """Return how many jobs each of the buckets of one place is to hold at most, as far as that is known.

    Their owners offer it once they have had more than they begin within a second. Those who have not yet offered
    anything are taken to be like the others. Nobody has a limit while nobody offers one: then all are idle, or quick. Nor
    has who is alone.
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
    """Of which owners nothing is to be expected: they are given nothing while others serve the same lane and priority.

    They have left due jobs unread, and shown no sign of life since, or missed a heartbeat: `longest` says for how many
    seconds one may be unheard of that has not.
    """

    longest: float

    def is_silent(self, bucket: Bucket) -> bool:
        """Return whether a bucket's owner is silent; `bucket` is as `active_buckets` returns it."""
        return bucket.silent or bucket.unheard > self.longest

    def heard(self, buckets: Iterable[Bucket]) -> list[Bucket]:
        """Return the buckets without those of silent owners; with these where there are no others for their work."""
        listed = list(buckets)
        awake = [bucket for bucket in listed if not self.is_silent(bucket)]
        served = by_place(awake)
        alone = [bucket for bucket in listed if (bucket.lane, bucket.priority) not in served]
        return [*awake, *alone] if alone else awake
