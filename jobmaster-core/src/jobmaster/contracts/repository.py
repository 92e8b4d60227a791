"""What masters and agents have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from jobmaster.contracts.capabilities import Capabilities
from jobmaster.contracts.durability import DurabilityRisk


class Repository(ABC):
    """A store that can be opened, with a clock of its own."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this store can do beyond the minimum."""

    @abstractmethod
    async def open(self, *, create: bool = True) -> None:
        """Connect. Raises `StoreUnavailableError` if the store cannot be reached; may be called again.

        What the store refuses (no such database, a wrong password) is a `ConfigurationError` here and in the other
        calls of `schema`; everywhere else it is a `StoreRefusedError`, which is an outage.

        A store that connecting alone would create, such as a file, is not created without `create`: the call raises
        `ConfigurationError` if it does not exist. Callers that only look open it this way.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release every connection and thread. Idempotent; never raises for a store that is down."""

    @abstractmethod
    async def now(self) -> datetime:
        """Return the time of the store's clock, which decides what is due and which worker owns what."""

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return the settings of the server, the role, the file or its file system that can lose accepted jobs.

        The settings in effect for this store's own connections, each with its meaning and the remedy: flushes that are
        not awaited or are switched off, a read-only server, a file that several hosts share. Needs no schema, costs one
        short query, and can be called again at any time. Raises `StoreUnavailableError`.

        Not abstract: a store that knows of none, or cannot tell, returns none. A store that is not `durable` is not asked.
        """
        return ()
