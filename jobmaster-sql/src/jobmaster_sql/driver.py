"""What a provider's driver does for the shared repositories, and how its database stores values."""

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
    """How a database spells the common parts of statements, and how it stores parameters."""

    now: str
    """The store's clock as whole microseconds since 1970 UTC; one value for all rows of a statement."""
    began: str
    """The same when the unit began: not later than what the statement sees. The driver's agent may have to supply it."""
    now_in_script: str
    """The same where only the database's own functions are available: in a script for a DBA."""
    greatest: str
    """The name of the function that returns the greater of two numbers."""
    lock: str
    """The clause that locks the rows a SELECT finds; `{0}` is the table's alias."""
    lock_free: str
    """The same, skipping rows that other transactions have locked."""
    among: str
    """A condition: column `{0}` has one of the values in the array parameter `{1}` of type `{2}`."""
    not_among: str
    """The opposite condition, for columns and arrays without NULL; its cost hardly depends on the length of the array."""

    def names(self, prefix: str) -> str:
        """Return the beginning of table names in statements and migrations; a database may put a schema in front."""
        return prefix

    weighs_pages = False
    """Whether statements have to limit pages by bytes; otherwise the driver stops reading (see `Query.weighed`)."""

    def page_macros(self, columns: str) -> Mapping[str, str]:
        """Return the macros around the SELECT of a page with these columns, whose names differ.

        In rows that follow `PAGE_BYTES` of data and metadata, these are NULL. A page ends before the first such row.
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
        """Return the values of the statements' macros, where table names begin with `prefix`."""
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
        """Make the names of tables in statements begin with `after` instead of `before`; not while units run."""

    @abstractmethod
    async def open(self, *, create: bool = True) -> None:
        """Connect. Raises `StoreUnavailableError` if the database cannot be reached; may be called again.

        Without `create`, a database that connecting would create is not created: `ConfigurationError` is raised instead.
        """

    @abstractmethod
    async def look(self, unit: UnitFactory[T]) -> T:
        """Run a unit that only reads as part of opening: a refusal after that is not an outage yet."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection and thread. Idempotent; never raises for a database that is down."""

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

        * The transaction is atomic: when the unit or a statement raises, it is rolled back.
        * It is shielded from cancellation once it has begun, and it ends within `time_limit` seconds (default: the driver's
          own limit).
        * Transient faults (a deadlock, a lost connection) are retried while there is time. Without `again`, a unit that may
          have been committed is not retried.
        * Native errors become `StoreUnavailableError`, `StoreConflictError`, `SchemaError` or `StoreError`; errors that the
          unit itself raises pass unchanged.
        * A `read_only` unit must not write. It need not see a single snapshot.
        """
