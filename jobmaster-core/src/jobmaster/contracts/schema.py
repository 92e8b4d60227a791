"""Provisioning a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class SchemaStore(ABC):
    """What a store needs before it can be used: tables by numbered migrations, or the streams of a broker."""

    @abstractmethod
    async def migrate(self) -> Sequence[str]:
        """Bring the schema up to date under a lock; return the names of the migrations applied."""

    @abstractmethod
    async def pending(self) -> Sequence[str]:
        """Return the names of the migrations that `migrate` would apply.

        Raises `SchemaError` if the schema is newer than this code and incompatible: one of the migrations that this
        code does not know says that it serves only newer code.
        """

    async def newer(self) -> Sequence[str]:
        """Return the names of compatible migrations that newer code applied; raises as `pending`.

        A store without numbered migrations has none.
        """
        return ()

    @abstractmethod
    def script(self) -> str:
        """Return the statements of all migrations, for a DBA to run; needs no connection."""


class NoSchema(SchemaStore):
    """The schema of a store that needs none."""

    async def migrate(self) -> Sequence[str]:
        """Do nothing; return no migrations."""
        return ()

    async def pending(self) -> Sequence[str]:
        """Return no migrations."""
        return ()

    def script(self) -> str:
        """Return no statements."""
        return ""
