"""The way to a database: several hosts, tried in turn."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final
from weakref import WeakSet

import psycopg

from jobmaster.errors import ConfigurationError, JobMasterError, StoreUnreachableError
from jobmaster.veils import Veil
from jobmaster_postgres.address import Address
from jobmaster_postgres.connecting import connect
from jobmaster_postgres.errors import cannot_connect
from jobmaster_postgres.schema import Finder
from jobmaster_postgres.wire import Native

_HOST: Final = ("host", "hostaddr", "port")
_WANTED: Final = "target_session_attrs"

_Host = Mapping[str, Any]
"""libpq's parameters that locate one server, and the role it must have."""


_veils: WeakSet[Veil] = WeakSet()
"""The veils of all routes, hence of everything that psycopg may log."""


def _unveiled(record: logging.LogRecord) -> bool:
    """Remove what our addresses hide from psycopg's log lines at level DEBUG: its connections show their user."""
    told = record.getMessage()
    for veil in list(_veils):
        if veil.hides(told):
            record.msg, record.args, told = (hidden := veil.text(told)), (), hidden
    return True


logging.getLogger("psycopg").addFilter(_unveiled)


class Route:
    """Opens connections to the host that answered last if possible, otherwise to the next one that answers.

    libpq would wait for each host as long as for a single one. Here the hosts share the time, so that a silent host does not
    use up another's share.
    """

    def __init__(self, address: Address, time_limit: float, finder: Finder | None = None) -> None:
        """`time_limit` is the number of seconds a statement of these connections may take; `finder` learns their schema."""
        self.address, self._time_limit, self._finder = address, time_limit, finder
        _veils.add(address.veil)
        self._last: _Host | None = None

    async def connect(self, deadline: float) -> Native:
        """Open a connection before a moment of the loop's clock.

        Raises `StoreUnreachableError`, or `ConfigurationError` for what waiting does not mend if it never worked.
        """
        try:
            hosts = await self._hosts(deadline)
        except OSError as error:
            raise StoreUnreachableError(f"{self.address}: {error}") from error
        return await self._first_that_answers(hosts, deadline)

    async def _first_that_answers(self, hosts: Sequence[_Host], deadline: float) -> Native:
        loop, failures = asyncio.get_running_loop(), list[JobMasterError]()
        for left, host in zip(range(len(hosts), 0, -1), hosts, strict=True):
            share = (deadline - loop.time()) / left
            try:
                return await self._connected(host, share)
            except JobMasterError as error:
                failures.append(error)
        raise _summary(failures)

    async def _connected(self, host: _Host, seconds: float) -> Native:
        try:
            async with asyncio.timeout(seconds):
                native = await connect(self.address, self._time_limit, host, self._finder)
        except (TimeoutError, psycopg.errors.ConnectionTimeout) as error:
            msg = f"{self.address}: no answer{_at(host)} within {seconds:.2g} s"
            raise StoreUnreachableError(msg) from error
        except psycopg.Error as error:
            # Not chained: the driver's error contains all connection parameters.
            raise cannot_connect(error, str(self.address), self.address.veil) from None
        self._last = host
        return native

    # Hosts

    async def _hosts(self, deadline: float) -> list[_Host]:
        """Return all hosts in the order in which they are tried; raises `OSError` if none has an address."""
        found = await _resolved(self._named(), deadline)
        if self._parameter("load_balance_hosts") == "random":
            random.shuffle(found)
        if self._parameter(_WANTED) == "prefer-standby":  # across all hosts: each alone always satisfies it
            return [{**one, _WANTED: wanted} for wanted in ("standby", "any") for one in found]
        return sorted(found, key=lambda one: one != self._last)

    def _named(self) -> list[_Host]:
        """Return the hosts that the address names, one by one; libpq's default host has no name."""
        lists = {name: (self._parameter(name) or "").split(",") for name in _HOST}
        count = max(len(values) for values in lists.values())
        hosts: list[_Host] = []
        for turn in range(count):
            given = {name: values[turn % len(values)] for name, values in lists.items()}
            hosts.append({name: value for name, value in given.items() if value})
        return hosts

    def _parameter(self, name: str) -> str | None:
        """Return a parameter of the URL, or its value from the environment as libpq takes it."""
        given = self.address.parameters.get(name)
        return os.environ.get(f"PG{name.replace('_', '').upper()}") if given is None else str(given)


async def _resolved(hosts: Sequence[_Host], deadline: float) -> list[_Host]:
    """Return hosts with their addresses, of which a name may have several; raises `OSError` if there are none.

    All names are looked up at once, each for at most half of the time.
    """
    loop = asyncio.get_running_loop()
    latest = (loop.time() + deadline) / 2
    answers = await asyncio.gather(*(_addresses(host, latest) for host in hosts), return_exceptions=True)
    found = [one for answer in answers if not isinstance(answer, BaseException) for one in answer]
    if not found:
        raise next(answer for answer in answers if isinstance(answer, BaseException))
    return found


async def _addresses(host: _Host, latest: float) -> list[_Host]:
    name = host.get("host", "")
    if "hostaddr" in host or not name or name[0] in "/@" or _is_address(name):
        return [host]
    port = host.get("port", "5432")
    try:
        async with asyncio.timeout_at(latest):
            found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # TimeoutError is a subclass
        raise OSError(f"failed to resolve host {name!r}: {str(error) or 'no answer'}") from error
    return [{**host, "hostaddr": address[0]} for *_, address in found]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _at(host: _Host) -> str:
    name = host.get("host") or host.get("hostaddr")
    return f" from {name}:{host.get('port', 5432)}" if name else ""


def _summary(failures: Sequence[JobMasterError]) -> JobMasterError:
    """Return one error for all hosts: waiting for the others does not mend a refusal by one of them."""
    refused = [failure for failure in failures if isinstance(failure, ConfigurationError)]
    if refused or len(failures) == 1:
        return (refused or failures)[0]
    return StoreUnreachableError("; ".join(dict.fromkeys(map(str, failures))))
