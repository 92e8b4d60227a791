"""The PostgreSQL provider of JobMaster: `postgresql://user:password@host/database`."""

from __future__ import annotations

from collections.abc import Mapping

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.hookspecs import StoreOptions, hookimpl
from jobmaster_postgres.libpq import MISSING, check_libpq

if MISSING is None:
    from jobmaster_postgres.agent import PostgresAgent
    from jobmaster_postgres.master import PostgresMaster

__all__ = ["PostgresAgent", "PostgresMaster", "jobmaster_agent", "jobmaster_master", "jobmaster_schemes"]

_SCHEMES = {
    "postgresql": "PostgreSQL 13 or newer: postgresql://user:password@host:5432/database",
    "postgres": "the same as postgresql://",
}


@hookimpl
def jobmaster_schemes() -> Mapping[str, str]:
    """Serve `postgresql://` and `postgres://`."""
    return _SCHEMES


@hookimpl
def jobmaster_master(url: str, options: StoreOptions) -> MasterRepository | None:
    """Return a PostgreSQL master for its URLs; raises `ConfigurationError` for a wrong one, or without libpq."""
    if not _is_ours(url):
        return None
    check_libpq()
    return PostgresMaster(url, options)


@hookimpl
def jobmaster_agent(name: str, url: str, options: StoreOptions) -> AgentRepository | None:
    """Return a PostgreSQL agent for the same URLs; raises `ConfigurationError` as for a master."""
    if not _is_ours(url):
        return None
    check_libpq()
    return PostgresAgent(name, url, options)


def _is_ours(url: str) -> bool:
    return url.partition("://")[0].lower() in _SCHEMES
