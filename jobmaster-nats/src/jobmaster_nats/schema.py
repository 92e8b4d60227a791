"""The stream of an agent, and how it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

from jobmaster.contracts import SchemaStore
from jobmaster.errors import ConfigurationError
from jobmaster_nats.address import Address
from jobmaster_nats.driver import NatsDriver
from jobmaster_nats.errors import NAME_IN_USE, stream_missing
from jobmaster_nats.names import Names
from jobmaster_nats.stream import Answer, Entry, Stream

_STEP: Final = "0001_stream"
_REPLICAS_FROM: Final = (2, 11)
_RELIED_ON: Final[dict[str, object]] = {
    "retention": "limits",
    "max_msgs_per_subject": 1,
    "max_age": 0,
    "max_msgs": -1,
    "deny_delete": False,
    "deny_purge": False,
}
"""Settings of the stream with other values of which messages would be lost, or could not be removed."""


class NatsSchema(SchemaStore):
    """Makes the stream of an agent, and the fingerprint in it. There is one step, under a name like a migration's."""

    def __init__(self, driver: NatsDriver) -> None:
        """The driver's names and address say what the stream is called and how it is made."""
        self._driver = driver

    async def migrate(self) -> Sequence[str]:
        """Make what is missing. Several processes may do so at once: the server makes it once."""

        async def work(stream: Stream) -> Sequence[str]:
            made = await _make_stream(stream)
            [fingerprint] = await stream.store(
                [Entry(stream.names.fingerprint, uuid4().hex.encode(), expected=0)]
            )
            return [_STEP] if made or fingerprint is not None else []

        return await self._driver.run(work, at_start=True)

    async def pending(self) -> Sequence[str]:
        async def work(stream: Stream) -> Sequence[str]:
            info = await stream.info()
            if info is None:
                return [_STEP]
            _check(info, stream)
            return [_STEP] if await read_fingerprint(stream) is None else []

        return await self._driver.run(work, at_start=True)

    def script(self) -> str:
        """Return the command of the nats tool that makes the stream. JobMaster adds the fingerprint when it starts."""
        names, address = self._driver.names, self._driver.address
        size = "" if address.max_bytes < 0 else f" --max-bytes={address.max_bytes}"
        return (
            f"nats stream add {names.stream} --subjects='{names.everything}' --storage={address.storage} "
            f"--replicas={address.replicas} --retention=limits --discard=new --max-msgs=-1 --max-msgs-per-subject=1 "
            f"--max-age=0{size} --defaults\n"
        )


async def read_fingerprint(stream: Stream) -> str | None:
    """Return the identity of the store; None if it has none yet."""
    [stored] = await stream.get([stream.names.fingerprint])
    return None if stored is None else stored.payload.decode()


async def required_fingerprint(stream: Stream) -> str:
    """Return the identity of the store; raises `SchemaError` if it has none yet."""
    found = await read_fingerprint(stream)
    if found is None:
        raise stream_missing(stream.names.stream)
    return found


async def _make_stream(stream: Stream) -> bool:
    """Make the stream if it does not exist; return whether this call has made it. Raises if it does not serve."""
    if (info := await stream.info()) is None:
        _check_replicas(stream.address.replicas, stream)
        config = stream_config(stream.address, stream.names)
        message = await stream.link.ask(stream.request(f"STREAM.CREATE.{stream.names.stream}", config))
        answer = stream.checked(message, but=[NAME_IN_USE])
        if "error" not in answer:
            return True
        info = await stream.info()  # another process has made it, perhaps with other settings
    if info is None:
        raise stream_missing(stream.names.stream)
    _check(info, stream)
    return False


def _check_replicas(replicas: int, stream: Stream) -> None:
    """Refuse replicas on old servers: of two conflicting writes at the same time they may acknowledge both."""
    version = stream.link.client.connected_server_version
    if replicas > 1 and (version.major, version.minor) < _REPLICAS_FROM:
        wanted = ".".join(str(number) for number in _REPLICAS_FROM)
        raise ConfigurationError(
            f"{stream.address}: the server is NATS {version.major}.{version.minor}, which cannot be relied on with "
            f"{replicas} replicas; upgrade it to {wanted} or newer, or keep the stream {stream.names.stream} on one server"
        )


def stream_config(address: Address, names: Names) -> dict[str, Any]:
    """Return the settings of the stream.

    A stream that is full refuses new messages, rather than to forget old ones; nothing in it grows old.
    """
    return {
        "name": names.stream,
        "subjects": [names.everything],
        "retention": "limits",
        "storage": address.storage,
        "num_replicas": address.replicas,
        "max_msgs_per_subject": 1,
        "discard": "new",
        "max_bytes": address.max_bytes,
        "max_msgs": -1,
        "max_age": 0,
        "max_consumers": -1,
        "duplicate_window": 100_000_000,  # not used; the least that is allowed
    }


def _check(info: Answer, stream: Stream) -> None:
    """Refuse a stream that would lose messages, or keep what is removed."""
    config = info["config"]
    _check_replicas(config.get("num_replicas", 1), stream)
    wrong = [name for name, wanted in _RELIED_ON.items() if config.get(name, wanted) != wanted]
    if stream.names.everything not in config.get("subjects", ()):
        wrong.append("subjects")
    if config.get("discard") != "new" and (config.get("max_bytes", -1) > 0):
        wrong.append("discard")
    if wrong:
        raise ConfigurationError(
            f"{stream.address}: the stream {stream.names.stream} has settings that JobMaster cannot work with "
            f"({', '.join(wrong)}); set them as `jobmaster migrate --sql` shows, or name another stream with stream=…"
        )
