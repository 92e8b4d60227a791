"""What the stores of masters and agents have in common: opening, provisioning, and notifications."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from datetime import datetime

from jobmaster.contracts.capabilities import Capabilities
from jobmaster.contracts.durability import DurabilityRisk


class SchemaStore(ABC):
    """Opening, closing and provisioning a store."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this store can do beyond the minimum."""

    @abstractmethod
    async def open(self, *, create: bool = True) -> None:
        """Connect. Raises `StoreUnavailableError` if the store cannot be reached; may be called again.

        What the store refuses (no such database, a wrong password) is a `ConfigurationError` here and in the other
        calls about the schema; everywhere else it is a `StoreRefusedError`, which is an outage.

        A store that connecting alone would create, such as a file, is not created without `create`: the call raises
        `ConfigurationError` if it does not exist. Callers that only look open it this way.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release every connection and thread. Idempotent; never raises for a store that is down."""

    @abstractmethod
    async def migrate(self) -> Sequence[str]:
        """Bring the schema up to date under a lock; return the names of the migrations applied."""

    @abstractmethod
    async def pending_migrations(self) -> Sequence[str]:
        """Return the names of the migrations that `migrate` would apply.

        Raises `SchemaError` if the schema is newer than this code and incompatible: one of the migrations that this
        code does not know says that it serves only newer code.
        """

    async def newer_migrations(self) -> Sequence[str]:
        """Return the names of compatible migrations that newer code applied; raises as `pending_migrations`.

        A store without numbered migrations has none.
        """
        return ()

    @abstractmethod
    def migration_script(self) -> str:
        """Return the statements of all migrations, for a DBA to run; needs no connection."""

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return the settings of the server, the role, the file or its file system that can lose accepted jobs.

        The settings in effect for this store's own connections, each with its meaning and the remedy: flushes that are
        not awaited or are switched off, a read-only server, a file that several hosts share. Needs no schema, costs one
        short query, and can be called again at any time. Raises `StoreUnavailableError`.

        Not abstract: a store that knows of none, or cannot tell, returns none. A store that is not `durable` is not asked.
        """
        return ()

    @abstractmethod
    async def now(self) -> datetime:
        """Return the time of the store's clock, which decides what is due and which worker owns what."""


class NotificationListener(ABC):
    """Notifying other processes of changes. Notifications may be lost: nothing depends on them."""

    @abstractmethod
    async def announce(self, topics: Sequence[str]) -> None:
        """Send topics to all listeners of this store, this process included. Best effort, in one message."""

    @abstractmethod
    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Call `on_notification(topic)` for every announcement of these topics, until cancelled.

        Membership in `topics` is checked when notifications arrive: the caller may change what it holds.
        `on_notification` runs in the caller's event loop and must not block. `on_ready` is called once the listener is
        in place, so that the caller can check what it missed. Raises `StoreUnavailableError` when the connection
        breaks; the caller listens again. Asking for `Topics.ANY` asks for everything; `Topics.ANY` may arrive no matter
        what was asked for.
        """
