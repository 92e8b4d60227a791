"""What a store says of itself where "accepted is durable" does not hold as it stands."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class DurabilityRisk:
    """A setting of a server, a role, a file or its file system with which accepted jobs can get lost.

    Attributes:
        setting: what it is called where it is set, for example `synchronous_commit`.
        value: what it is now.
        means: what can happen, and when.
        remedy: what to do.

    """

    setting: str
    value: str
    means: str
    remedy: str

    def __str__(self) -> str:
        """Return all of it in one line."""
        return f"{self.setting} is {self.value}: {self.means}; {self.remedy}"
