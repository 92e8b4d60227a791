"""The events of a simulation, in order: for people to read, and to compare with another run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from jobmaster.contracts import Handover, HandoverResult, Message
from jobmaster.models import (
    Bucket,
    BucketPage,
    Claim,
    ClusterRecord,
    Cursor,
    HostRecord,
    Job,
    JobReceipt,
    NewJob,
    Report,
    WorkerRecord,
)
from jobmaster_testing.clock import VirtualClock

SHOWN = 12
"""Number of entries of a sequence that are shown."""


class Trace:
    """Records events with the virtual time; formats them only on demand."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._events: list[tuple[float, str, str, tuple[Any, ...]]] = []

    def add(self, who: str, what: str, *details: Any) -> None:
        """Record that `who` did `what`, or that it happened to `who`."""
        self._events.append((self._clock.monotonic(), who, what, details))

    def lines(self) -> Iterator[str]:
        """Return the events as text, one per line."""
        for at, who, what, details in self._events:
            yield f"{at:10.4f}  {who:<10} {what:<28} {' '.join(map(short, details))}".rstrip()

    def digest(self) -> str:
        """Return a fingerprint: the same for two runs if and only if they were identical."""
        digest = blake2b(digest_size=8)
        for line in self.lines():
            digest.update(line.encode())
        return digest.hexdigest()


def short(value: Any) -> str:
    """Return a value as a short text."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{short(k)}: {short(v)}" for k, v in list(value.items())[:SHOWN]) + "}"
    if isinstance(value, AbstractSet):
        return "{" + ", ".join(sorted(map(short, value))[:SHOWN]) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(short, value[:SHOWN])) + ("…]" if len(value) > SHOWN else "]")
    return _model(value)


def _model(value: Any) -> str:
    show = _SHOW.get(type(value))
    return str(value) if show is None else show(value)


_SHOW: Mapping[type[Any], Callable[[Any], str]] = {
    UUID: lambda v: v.hex[-6:],
    datetime: lambda v: f"{v:%H:%M:%S.%f}",
    float: lambda v: f"{v:.4g}",
    Job: lambda v: short(v.id),
    WorkerRecord: lambda v: short(v.id),
    HostRecord: lambda v: v.name,
    ClusterRecord: lambda v: f"{v.id} {v.mode}",
    JobReceipt: lambda v: short(v.job_id),
    NewJob: lambda v: f"{short(v.job)}→{short(v.bucket_id)}",
    Message: lambda v: f"{short(v.new)}#{v.attempt}{'' if v.saved else ' unsaved'}",
    Handover: lambda v: f"{short(v.id)}: {short(v.messages)}",
    HandoverResult: lambda v: short(v.handovers),
    Bucket: lambda v: f"{short(v.id)}@{v.epoch}",
    Claim: lambda v: f"{short(v.job)}#{v.attempt}",
    Report: lambda v: f"{short(v.job_id)}#{v.attempt}@{v.epoch}={v.outcome or '-'}:{v.status}",
    BucketPage: lambda v: f"{short(v.claims)}{' and more' if v.more else ''}",
    Cursor: lambda v: "" if v.after is None else f"after {short(v.after.job_id)}",
}
"""The models that are shown in a shorter form than their own."""
