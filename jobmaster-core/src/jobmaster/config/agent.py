"""Settings of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from attrs import evolve, field, frozen
from attrs.validators import optional

from jobmaster.config.checks import as_text, check_name, check_prefix, instance_of, positive
from jobmaster.config.cluster import Settings
from jobmaster.errors import ConfigurationError
from jobmaster.models import STANDALONE
from jobmaster.urls import StoreUrl, hidden, store_url

MOST_WEIGHT = 1000.0
RESERVED_AGENTS = frozenset({STANDALONE, "master"})
"""Names that receipts and buckets have when no agent is involved."""


class AgentOptions(TypedDict, total=False):
    """Options of `Cluster.add_agent` besides name and URL: fields of `AgentSettings`, which describes them."""

    weight: float
    repoint: bool
    table_prefix: str | None
    store_options: Mapping[str, object] | None


@frozen(kw_only=True)
class AgentSettings:
    """The settings of `Cluster.add_agent`.

    Attributes:
        name: unique in the cluster, permanently: jobs and buckets refer to it.
        url: where the agent's store is.
        weight: the agent's share of new jobs, relative to that of the other agents.
        repoint: allow a name that is known for another store, once nothing is left in that store.
        table_prefix: the prefix of the agent's table names; by default the cluster's.
        store_options: the provider's own settings; by default the cluster's.

    """

    name: str = field(converter=as_text)
    url: StoreUrl = field(
        converter=store_url,
        validator=instance_of(str, "a URL, for example postgresql://host/database", secret=True),
    )
    weight: float = field(default=1.0, validator=positive(MOST_WEIGHT))
    repoint: bool = field(default=False, validator=instance_of(bool, "True or False"))
    table_prefix: str | None = field(default=None, validator=optional(check_prefix))
    store_options: Mapping[str, Any] | None = field(
        default=None, validator=optional(instance_of(Mapping, "a mapping", secret=True)), repr=hidden
    )

    def options(self, cluster: Settings) -> Settings:
        """Return the settings that the agent's store is opened with."""
        prefix = cluster.table_prefix if self.table_prefix is None else self.table_prefix
        options = cluster.store_options if self.store_options is None else self.store_options
        return evolve(cluster, table_prefix=prefix, store_options=options)

    def __attrs_post_init__(self) -> None:
        """Check the name."""
        check_name("agent", self.name)
        if self.name.lower() in RESERVED_AGENTS:
            msg = f"agent: {self.name!r} means the cluster database itself; choose another name"
            raise ConfigurationError(msg)
