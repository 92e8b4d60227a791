"""How a worker shares work with others: which notifications of theirs it has heard, and how it tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from jobmaster._runtime.cluster_view import anybody_assigns
from jobmaster.contracts import Topics

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster.models import Bucket


@define(eq=False)
class OtherWorkers:
    """The other workers of a cluster, as one worker knows them."""

    env: Environment
    _free_heard: bool = field(default=False, init=False)

    @property
    def listening(self) -> bool:
        """Whether notifications arrive from other processes."""
        return self.env.notify.listening

    def hear_of_free(self) -> None:
        """Note a notification of free slots."""
        self._free_heard = True

    def notified_of_free(self) -> bool:
        """Return whether notifications of free slots have arrived since the last call."""
        heard, self._free_heard = self._free_heard, False
        return heard

    def tell_of_free(self, *, known: bool) -> None:
        """Announce free slots: to all processes if they are `known` to the master, else to this one's coordinators."""
        tell = self.env.notify.tell if known else self.env.notify.hear
        tell(Topics.free(self.env.cluster_id))

    def tell_of_held(self) -> None:
        """Announce jobs that are held again."""
        self.env.notify.tell(Topics.held(self.env.cluster_id))

    def within_reach(self, buckets: Sequence[Bucket]) -> list[Bucket]:
        """Return the buckets that this process can give work to, as far as it knows."""
        reached = set(self.env.agents.reachable())
        return [bucket for bucket in self.env.silence.heard(buckets) if bucket.agent in reached]

    async def anybody_assigns(self) -> bool:
        """Return whether a coordinating worker is alive; the answer may be a little old."""
        return await anybody_assigns(self.env)
