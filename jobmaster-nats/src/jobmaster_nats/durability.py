"""What can lose messages that NATS has acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobmaster.contracts import DurabilityRisk
from jobmaster_nats.schema import stream_config
from jobmaster_nats.stream import Stream


async def risks_of(stream: Stream) -> Sequence[DurabilityRisk]:
    """Return the risks of the stream's settings; of those that it would be made with, if it does not exist."""
    info = await stream.info()
    config = stream_config(stream.address, stream.names) if info is None else info["config"]
    return list(_risks(config, is_synced=stream.address.sync))


def _risks(config: Mapping[str, Any], *, is_synced: bool) -> Sequence[DurabilityRisk]:
    if config["storage"] == "memory":
        return [
            DurabilityRisk(
                setting="storage",
                value="memory",
                means="accepted jobs are lost when the server stops",
                remedy="use a stream with file storage",
            )
        ]
    risks: list[DurabilityRisk] = []
    if not is_synced:
        risks.append(_SYNC)
    if config.get("num_replicas", 1) == 1:
        risks.append(_ONE_COPY)
    return risks


_SYNC = DurabilityRisk(
    setting="sync_interval",
    value="unknown, 2 minutes by default",
    means="the server acknowledges a job before it is on disk, so a power cut loses those of the last minutes",
    remedy="set sync_interval: always in the server's jetstream section, and say so with sync=always in the URL; "
    "or schedule jobs that must not be lost with confirm='master'",
)
_ONE_COPY = DurabilityRisk(
    setting="replicas",
    value="1",
    means="jobs in flight are on one server: they wait while it is down, and are lost with its disk",
    remedy="use three servers and replicas=3",
)
