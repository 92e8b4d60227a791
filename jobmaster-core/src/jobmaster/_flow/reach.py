"""What the steps see of the agents of their cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobmaster.contracts import AgentRepository


class Reach(Protocol):
    """The agents by name, including the master's own rows, and which of them this process can reach."""

    def __getitem__(self, name: str, /) -> AgentRepository:
        """Return an agent; raises `StoreUnreachableError` if this process has not joined it."""
        ...

    def reachable(self) -> Sequence[str]:
        """Return the names of the agents that answered last; all of them are joined."""
        ...

    def leave_alone(self, name: str) -> None:
        """Note that an agent could not be reached."""
        ...

    def answered(self, name: str) -> None:
        """Note that an agent took jobs."""
        ...
