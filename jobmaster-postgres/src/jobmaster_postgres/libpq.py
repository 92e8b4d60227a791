"""Whether psycopg finds libpq, PostgreSQL's client library: its own, or the system's."""

from __future__ import annotations

from typing import Final

from jobmaster.errors import ConfigurationError


def _missing() -> ImportError | None:
    try:
        import psycopg  # noqa: F401 - to see whether it works
    except ImportError as error:
        return error
    return None


MISSING: Final = _missing()
"""Why psycopg cannot be imported; clusters on other databases need neither it nor libpq."""


def check_libpq() -> None:
    """Raise `ConfigurationError` if psycopg cannot be used."""
    if MISSING is not None:
        first = str(MISSING).partition("\n")[0].rstrip(".")
        msg = (
            f"PostgreSQL cannot be reached from this Python: psycopg finds no libpq ({first}); install psycopg[binary], "
            "which jobmaster-postgres[binary] brings, or the system's library (on Debian and Ubuntu: the package libpq5)"
        )
        raise ConfigurationError(msg) from MISSING
