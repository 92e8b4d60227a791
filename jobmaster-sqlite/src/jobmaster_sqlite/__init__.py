"""The SQLite provider of JobMaster: `sqlite:///jobs.db`."""

from __future__ import annotations

from collections.abc import Mapping

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.hookspecs import StoreOptions, hookimpl
from jobmaster_sqlite.agent import SqliteAgent
from jobmaster_sqlite.master import SqliteMaster

__all__ = ["SqliteAgent", "SqliteMaster", "jobmaster_agent", "jobmaster_master", "jobmaster_schemes"]


@hookimpl
def jobmaster_schemes() -> Mapping[str, str]:
    """Serve `sqlite://`."""
    return {"sqlite": "a file on this host: sqlite:///jobs.db, or sqlite:////absolute/path.db"}


@hookimpl
def jobmaster_master(url: str, options: StoreOptions) -> MasterRepository | None:
    """Return a SQLite master for a `sqlite://` URL; raises `ConfigurationError` for a wrong one."""
    return SqliteMaster(url, options) if _is_ours(url) else None


@hookimpl
def jobmaster_agent(name: str, url: str, options: StoreOptions) -> AgentRepository | None:
    """Return a SQLite agent for a `sqlite://` URL; raises `ConfigurationError` for a wrong one."""
    return SqliteAgent(name, url, options) if _is_ours(url) else None


def _is_ours(url: str) -> bool:
    return url.partition("://")[0].lower() == "sqlite"
