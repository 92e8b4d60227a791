"""What a provider's driver does for the shared repositories, and how its database writes values down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from jobmaster.weighing import PAGE_BYTES
from jobmaster_sql.units import UnitFactory

T = TypeVar("T")

_WEIGHED: Final = ("data", "metadata")
# The length of a text is known without reading it, however long it is.
_FITS: Final = (
    f"coalesce(sum(octet_length(data) + octet_length(metadata::text)) OVER before, 0) < {PAGE_BYTES}"
)


class Dialect(ABC):
    """How one database spells what the statements share, and stores what they carry."""

    now: str
    """The store's clock as whole microseconds since 1970 UTC; one value for all rows of a statement."""
    began: str
    """The same when the unit began: not later than what the statement sees. A driver's agent may have to tell."""
    now_in_script: str
    """The same where only the database's own functions are at hand: in a script for a DBA."""
    greatest: str
    """The name of the function that returns the greater of two numbers."""
    lock: str
    """The clause that locks the rows a SELECT finds; `{0}` is the table's alias."""
    lock_free: str
    """The same, passing over rows that others have locked."""
    among: str
    """A condition: column `{0}` has one of the values in the array parameter `{1}` of type `{2}`."""
    not_among: str
    """The opposite condition, for columns and arrays without NULL; it costs about as much for long arrays as for short."""

    def names(self, prefix: str) -> str:
        """Return what the names of tables begin with in statements and migrations; a database may put a schema before."""
        return prefix

    weighs_pages = False
    """Whether statements have to end pages by their bytes: else the driver stops to read (see `Query.weighed`)."""

    def page_macros(self, columns: str) -> Mapping[str, str]:
        """Return what stands around the SELECT of a page with these columns, whose names differ.

        Of a row before which there are `PAGE_BYTES` of data and metadata, these are NULL. A page ends before it.
        """
        if not self.weighs_pages:
            return {"page_head": "", "page_tail": ""}
        names = [column.rpartition(" ")[2].rpartition(".")[2] for column in columns.split(", ")]
        order = f"ready_at, {'job_id' if 'job_id' in names else 'id'}"
        shown = [f"CASE WHEN {_FITS} THEN {name} END" if name in _WEIGHED else name for name in names]
        window = f"WINDOW before AS (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        return {
            "page_head": f"SELECT {', '.join(shown)} FROM (",  # noqa: S608 - names of our own
            "page_tail": f") AS page {window} ORDER BY {order}",
        }

    def macros(self, prefix: str) -> Mapping[str, str]:
        """Return what the statements' macros stand for, where the names of tables begin with `prefix`."""
        return {
            "prefix": self.names(prefix),
            "bare_prefix": prefix,
            "now": self.now,
            "began": self.began,
            "greatest": self.greatest,
            "lock": self.lock,
            "lock_free": self.lock_free,
            "among": self.among,
            "not_among": self.not_among,
        }

    @abstractmethod
    def uuid(self, value: UUID) -> Any:
        """Return a UUID as a parameter."""

    @abstractmethod
    def to_uuid(self, stored: Any) -> UUID:
        """Return a stored UUID."""

    @abstractmethod
    def array(self, values: Sequence[Any]) -> Any:
        """Return values (already parameters themselves) as one array parameter."""

    @abstractmethod
    def to_uuids(self, stored: Any) -> list[UUID]:
        """Return UUIDs that were stored as one array parameter."""

    def optional_uuid(self, value: UUID | None) -> Any:
        """Return a UUID or None as a parameter."""
        return None if value is None else self.uuid(value)

    def to_optional_uuid(self, stored: Any) -> UUID | None:
        """Return a stored UUID or None."""
        return None if stored is None else self.to_uuid(stored)

    def uuids(self, values: Sequence[UUID]) -> Any:
        """Return UUIDs as one array parameter."""
        return self.array([self.uuid(value) for value in values])


class SqlDriver(ABC):
    """Runs units of work on one database."""

    dialect: Dialect

    @abstractmethod
    def rename_tables(self, before: str, after: str) -> None:
        """Have the names of tables in statements begin with `after` instead of `before`; not while units run."""

    @abstractmethod
    async def open(self, *, create: bool = True) -> None:
        """Connect. Raises `StoreUnavailableError` if the database cannot be reached; may be called again.

        A database that connecting would make is not made without `create`: then it raises `ConfigurationError`.
        """

    @abstractmethod
    async def look(self, unit: UnitFactory[T]) -> T:
        """Run a unit that only reads as a part of opening: what is refused after that is no outage yet."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of every connection and thread. Idempotent; never raises for a database that is down."""

    @abstractmethod
    async def run(
        self,
        unit: UnitFactory[T],
        *,
        read_only: bool = False,
        time_limit: float | None = None,
        again: bool = True,
    ) -> T:
        """Run a unit as one transaction and return its result.

        * All of it happens, or nothing: when the unit or a statement raises, the transaction is undone.
        * It is shielded from cancellation once it began, and it ends within `time_limit` seconds (without it:
          the driver's own limit).
        * Faults that pass (a deadlock, a lost connection) are tried again while there is time. Without `again`, a
          unit that may have been committed is not.
        * Native errors come out as `StoreUnavailableError`, `StoreConflictError`, `SchemaError` or
          `StoreError`; what the unit itself raises comes out as it is.
        * A `read_only` unit must not write. It need not see one snapshot.
        """
