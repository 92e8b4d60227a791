"""What a store reports about itself if "accepted is durable" does not hold with its settings."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class DurabilityRisk:
    """A setting of a server, a role, a file or its file system with which accepted jobs can get lost.

    Attributes:
        setting: its name where it is set, for example `synchronous_commit`.
        value: its current value.
        means: what can happen, and when.
        remedy: what to do.

    """

    setting: str
    value: str
    means: str
    remedy: str

    def __str__(self) -> str:
        """Return everything in one line."""
        return f"{self.setting} is {self.value}: {self.means}; {self.remedy}"
