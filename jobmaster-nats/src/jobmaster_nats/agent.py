"""The agent on NATS JetStream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobmaster.clock import from_micros
from jobmaster.contracts import AgentRepository, Capabilities, DurabilityRisk
from jobmaster.hookspecs import StoreOptions
from jobmaster_nats.address import parse_address
from jobmaster_nats.agent_buckets import NatsAgentBuckets
from jobmaster_nats.asides import NatsAsides
from jobmaster_nats.claims import NatsClaims
from jobmaster_nats.desks import Desks
from jobmaster_nats.driver import NatsDriver
from jobmaster_nats.durability import risks_of
from jobmaster_nats.messages import NatsMessages
from jobmaster_nats.names import Names
from jobmaster_nats.notifications import NatsNotifications
from jobmaster_nats.schema import NatsSchema, required_fingerprint
from jobmaster_nats.stream import Stream


class NatsAgent(AgentRepository):
    """An agent on NATS 2.9 or newer, with JetStream."""

    def __init__(self, name: str, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        names = Names(f"{options.table_prefix}{address.stream}")
        driver, desks = NatsDriver(address, names, options.store_timeout), Desks()
        self._driver, self._desks = driver, desks
        super().__init__(
            name=name,
            messages=NatsMessages(name, driver, desks),
            claims=NatsClaims(driver, desks),
            asides=NatsAsides(driver, desks),
            buckets=NatsAgentBuckets(driver, desks),
            notifications=NatsNotifications(driver),
            schema=NatsSchema(driver),
        )

    def __repr__(self) -> str:
        """Return the agent's name and the servers."""
        return f"<NatsAgent {self.name!r}: {self._driver.address}>"

    @property
    def capabilities(self) -> Capabilities:
        """Notifications; neither in the order of due times, nor addressable."""
        durable = self._driver.address.storage == "file"
        return Capabilities(notifications=True, durable=durable, ordered=False, addressable=False)

    async def open(self, *, create: bool = True) -> None:  # noqa: ARG002 - connecting creates nothing
        async def work(stream: Stream) -> None:
            await stream.info()

        await self._driver.run(work, at_start=True)

    async def close(self) -> None:
        self._desks.clear()
        await self._driver.close()

    async def now(self) -> datetime:
        """Return the server's time."""

        async def work(stream: Stream) -> int:
            return await stream.read_clock()

        return from_micros(await self._driver.run(work))

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        return await self._driver.run(risks_of, at_start=True)

    async def fingerprint(self) -> str:
        return await self._driver.run(required_fingerprint, at_start=True)
