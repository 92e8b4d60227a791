"""The NATS JetStream agent of JobMaster: `nats://user:password@host:4222`."""

from __future__ import annotations

from collections.abc import Mapping

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.hookspecs import StoreOptions, hookimpl
from jobmaster.veils import quoting_nothing
from jobmaster_nats.address import SCHEMES
from jobmaster_nats.agent import NatsAgent

__all__ = ["NatsAgent", "jobmaster_agent", "jobmaster_master", "jobmaster_schemes"]


@hookimpl
def jobmaster_schemes() -> Mapping[str, str]:
    """Serve `nats://` and `tls://`."""
    return SCHEMES


@hookimpl
def jobmaster_master(url: str, options: StoreOptions) -> MasterRepository | None:  # noqa: ARG001 - as the hook says
    """Raise `ConfigurationError` for our URLs: a broker keeps no history, and cannot be a master."""
    if not _is_ours(url):
        return None
    raise quoting_nothing(
        "NATS JetStream can serve as an agent, but not as a master, which keeps all jobs and their history; use a database "
        "as the master, for example postgresql:// or sqlite://, and this URL in Cluster.add_agent(name, url)"
    )


@hookimpl
def jobmaster_agent(name: str, url: str, options: StoreOptions) -> AgentRepository | None:
    """Return an agent on NATS JetStream for its URLs; raises `ConfigurationError` for a wrong one."""
    return NatsAgent(name, url, options) if _is_ours(url) else None


def _is_ours(url: str) -> bool:
    return url.partition("://")[0].lower() in SCHEMES
