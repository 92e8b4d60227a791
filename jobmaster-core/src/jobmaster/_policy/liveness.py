"""Whether this process may still act as the owner of its buckets. All times are monotonic seconds."""

from __future__ import annotations

from attrs import frozen

SAFETY_SHARE = 0.2


@frozen
class Lease:
    """A lease as its holder must see it.

    It counts from the moment the renewal was *sent*, since the store started to count no earlier, and ends
    a fifth before the store's own end, so that running jobs are stopped before anybody else may start them.
    """

    duration: float
    renewed_at: float

    @property
    def safe_until(self) -> float:
        """The moment at which the holder must have stopped acting."""
        return self.renewed_at + self.duration * (1 - SAFETY_SHARE)

    def is_safe(self, now: float) -> bool:
        """Return whether the holder may start and continue jobs."""
        return now < self.safe_until

    def renewed(self, sent_at: float) -> Lease:
        """Return the lease after a renewal that was sent at `sent_at` and granted."""
        return Lease(self.duration, max(sent_at, self.renewed_at))


def makes_progress(last_tick: float, now: float, lease: float) -> bool:
    """Return whether a claim loop that last moved at `last_tick` counts as alive."""
    return now - last_tick < lease
