"""The connection of an agent: opened when it is needed, and used from any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from jobmaster.bridge import Bridge
from jobmaster.errors import ConfigurationError, StoreRefusedError
from jobmaster_nats.address import Address
from jobmaster_nats.errors import broken, connect_error
from jobmaster_nats.link import Link
from jobmaster_nats.names import Names
from jobmaster_nats.servertime import ServerTime
from jobmaster_nats.stream import Stream

T = TypeVar("T")

_OLDEST: Final = (2, 9)


class NatsDriver:
    """Runs units of work on the stream of an agent. All stores of an agent share it.

    A connection that broke is not repaired: the next unit opens another one, to any server of the URL.
    """

    def __init__(self, address: Address, names: Names, timeout: float) -> None:
        """`timeout` is the deadline of a unit of work, in seconds."""
        self.address, self.names = address, names
        self.time = ServerTime()
        self.bridge = Bridge()
        self._timeout = timeout
        self._link: Link | None = None
        self._connecting: asyncio.Lock | None = None
        self._has_served = False

    async def run(
        self,
        work: Callable[[Stream], Awaitable[T]],
        *,
        time_limit: float | None = None,
        at_start: bool = False,
    ) -> T:
        """Run a unit of work, shielded from cancellation; return its result.

        Raises `StoreUnreachableError` without a connection, and `StoreUnavailableError` if it breaks or the deadline passes.
        What the server refuses is a `StoreRefusedError` once a unit has succeeded, unless this is one `at_start`.
        """
        try:
            done = await self.bridge.run(self._unit, work, time_limit or self._timeout)
        except ConfigurationError as error:
            if self._has_served and not at_start:
                raise StoreRefusedError(error) from error
            raise
        self._has_served = self._has_served or not at_start
        return done

    async def _unit(self, work: Callable[[Stream], Awaitable[T]], time_limit: float) -> T:
        link: Link | None = None
        try:
            async with asyncio.timeout(time_limit):
                link = await self.connect()
                return await work(Stream(link, self.names, self.time))
        except TimeoutError as error:
            if link is None:
                raise connect_error(self.address, error) from None
            raise broken(self.address, error) from None

    async def connect(self) -> Link:
        """Return the open connection, or a new one. To be called in the bridge's loop."""
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            if self._link is None or not self._link.is_open:
                if self._link is not None:
                    await self._link.close()
                self._link = Link(self.address)
                await self._link.open()
                _check_version(self._link, self.address)
            return self._link

    async def close(self) -> None:
        """Close the connection and the bridge. May be called again."""
        await self.bridge.run(self._close)
        await self.bridge.close()
        self._connecting = None

    async def _close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def _check_version(link: Link, address: Address) -> None:
    version = link.client.connected_server_version
    if (version.major, version.minor) < _OLDEST:
        wanted = ".".join(str(number) for number in _OLDEST)
        told = f"{version.major}.{version.minor}"
        raise ConfigurationError(f"{address}: the server is NATS {told}; upgrade it to {wanted} or newer")
