"""The agents of a cluster without a running process, for tests of single steps."""

from __future__ import annotations

from jobmaster.contracts import AgentRepository


class Within(dict[str, AgentRepository]):
    """Agents by name, all of them within reach."""

    def reachable(self) -> list[str]:
        """Return the names of all."""
        return list(self)

    def leave_alone(self, name: str) -> None:
        """Go on as before: the agent stays within reach."""

    def answered(self, name: str) -> None:
        """Go on as before."""
