"""Whether "accepted is durable" holds on a cluster's stores: checked, reported once, and enforced where required."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from attrs import define, field

from jobmaster.config.targets import ARCHIVE_TO, MOVE_TO
from jobmaster.contracts import DurabilityRisk, Repository
from jobmaster.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from jobmaster._runtime.agents import Agents

log = logging.getLogger("jobmaster.durability")

MASTER: Final = "master"
LOOK_EVERY: Final = 60.0
"""Seconds between two checks of the servers: one may have been restarted with other settings."""
IN_MEMORY: Final = DurabilityRisk(
    setting="the store",
    value="in memory",
    means="all its jobs are gone when this process ends",
    remedy="name a database, for example sqlite:///jobs.db",
)
_told: set[tuple[str, str, DurabilityRisk]] = set()
"""The warnings that this process has logged: cluster, store and risk."""


async def risks_of(store: Repository) -> Sequence[DurabilityRisk]:
    """Return the risks that an open store reports; a store that keeps nothing is not asked. Raises `StoreError`."""
    return await store.durability_risks() if store.capabilities.durable else [IN_MEMORY]


def store_name(store: str) -> str:
    """Return the name of a store in messages: the master, the target of a move, or an agent by its name."""
    if store in (MOVE_TO, ARCHIVE_TO):
        return f"the target of {store}"
    return "the master" if store == MASTER else f"agent {store!r}"


def lines(risks: Mapping[str, Sequence[DurabilityRisk]]) -> list[str]:
    """Return a line for each risk, except for stores in memory, whose warning comes from where they are configured."""
    return [
        f"{store_name(store)}: {risk}"
        for store, found in risks.items()
        for risk in found
        if risk is not IN_MEMORY
    ]


@define(eq=False)
class Durability:
    """Checks the stores of one cluster in one process."""

    cluster_id: str
    required: bool
    """Whether a store with a risk is refused."""
    _risks: dict[str, Sequence[DurabilityRisk]] = field(factory=dict, init=False)

    async def check(self, name: str, store: Repository) -> None:
        """Check a store that was just opened; raises `ConfigurationError` if it must be durable and is not."""
        risks = await risks_of(store)
        self._tell(name, risks)
        if risks and self.required:
            faults = "; ".join(map(str, risks))
            msg = f"require_durable: {store_name(name)} may lose what it has accepted: {faults} (or set it to False)"
            raise ConfigurationError(msg)

    async def look(self, stores: Iterable[tuple[str, Repository]]) -> None:
        """Check stores that have been in use for a while; one that is away is skipped."""
        for name, store in stores:
            try:
                self._tell(name, await risks_of(store))
            except StoreError as error:
                log.debug("the durability of %s could not be checked: %s", store_name(name), error)

    def _tell(self, name: str, risks: Sequence[DurabilityRisk]) -> None:
        """Warn of new risks, once in this process, and log those that are over."""
        for risk in self._risks.get(name, ()):
            if risk not in risks:
                _told.discard((self.cluster_id, name, risk))
                log.info(
                    "cluster %s: %s: %s is no longer %s",
                    self.cluster_id,
                    store_name(name),
                    risk.setting,
                    risk.value,
                )
        for risk in risks:
            if risk is not IN_MEMORY and (self.cluster_id, name, risk) not in _told:
                _told.add((self.cluster_id, name, risk))
                log.warning("cluster %s: %s: %s", self.cluster_id, store_name(name), risk)
        self._risks[name] = risks


async def all_risks(master: Repository, agents: Agents) -> dict[str, Sequence[DurabilityRisk]]:
    """Return the risks of the master and the joined agents, by store; stores that cannot be asked are left out."""
    found: dict[str, Sequence[DurabilityRisk]] = {}
    for name, store in stores_of(master, agents):
        try:
            found[name] = await risks_of(store)
        except StoreError as error:
            log.debug("the durability of %s could not be checked: %s", store_name(name), error)
    return found


def stores_of(master: Repository, agents: Agents) -> list[tuple[str, Repository]]:
    """Return the master and the joined agents, by name."""
    joined = [(link.name, link.repository) for link in agents.links.values() if link.joined]
    return [(MASTER, master), *joined]
