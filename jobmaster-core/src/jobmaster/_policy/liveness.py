"""Whether this process may still own its buckets and judge other workers. All times are monotonic seconds."""

from __future__ import annotations

from attrs import define, field, frozen

from jobmaster.clock import Clock

SAFETY_SHARE = 0.2


@frozen
class Lease:
    """A lease as its holder must see it.

    It counts from the moment the renewal was *sent*, since the store started to count no earlier, and ends a fifth
    before the store's own end, so that running jobs are stopped before another worker may start them.
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


@define(eq=False)
class Watch:
    """How long a process has reached the store without a break: a lease that expired before says nothing about its holder.

    In an outage no worker can renew its lease, and afterwards all leases have expired. A process that judges workers by
    their leases must have been able to see them renewed. Two looks more than `longest_gap` seconds apart, by either
    clock, have a break between them: a suspended host stops the monotonic one. So have two looks between which the host's
    clock went back by that much: leases are in doubt until all live workers have renewed theirs.
    """

    clock: Clock
    longest_gap: float
    _since: float | None = field(default=None, init=False)
    _seen: tuple[float, float] = field(default=(0.0, 0.0), init=False)

    def seen(self) -> None:
        """Note that the store has just answered."""
        if self._since is None or self._is_stale():
            self._since = self.clock.monotonic()
        self._seen = self._moment()

    def broken(self) -> None:
        """Note that the store has just failed to answer."""
        self._since = None

    def lasts(self, seconds: float) -> bool:
        """Return whether the store has answered for that long, up to now."""
        if self._since is None or self._is_stale():
            return False
        return self.clock.monotonic() - self._since >= seconds

    def _is_stale(self) -> bool:
        return any(
            abs(now - then) > self.longest_gap for now, then in zip(self._moment(), self._seen, strict=True)
        )

    def _moment(self) -> tuple[float, float]:
        return self.clock.monotonic(), self.clock.now().timestamp()
