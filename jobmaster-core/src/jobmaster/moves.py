"""What a move between clusters has done, and what it left behind."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from attrs import frozen


@frozen
class Left:
    """A job or schedule (`what`) that could not move, and why, in words that name the remedy."""

    what: str
    id: UUID
    why: str


@frozen(kw_only=True)
class MoveSummary:
    """The result of a whole move. Items in `left` could not move; `in_buckets` jobs are still with their workers.

    `unasked` are agents that may hold jobs and that are not configured in this process or could not be reached.
    """

    target: str
    jobs: int = 0
    schedules: int = 0
    left: Sequence[Left] = ()
    in_buckets: int = 0
    waiting: int = 0
    """Schedules whose last job has not ended yet."""
    unasked: Sequence[str] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to move."""
        return not (self.left or self.in_buckets or self.waiting or self.unasked)
