"""Job ids: UUID version 7 (RFC 9562), which sort by creation time; and ids derived from their subjects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from random import Random
from threading import Lock
from uuid import UUID, SafeUUID

from jobmaster.errors import JobNotFoundError
from jobmaster.forks import in_forked_child

_lock = Lock()
_random = Random()  # noqa: S311 - ids have to be unique, not secret
_time_ns: Callable[[], int] = time.time_ns
_last_millis = 0
_counter = 0
_COUNTER_BITS = 32
_RANDOM_BITS = 42


def _begin_anew() -> None:
    """A child must not make the same ids as its parent, and a lock that a thread of the parent held is never released."""
    global _lock  # noqa: PLW0603 - one sequence for the process, under its lock
    _lock = Lock()
    _random.seed()


in_forked_child(_begin_anew)


def new_id() -> UUID:
    """Return a UUIDv7 that is greater than every one this process made before.

    Layout: 48 bits of Unix milliseconds, the version, 12 + 20 bits of a counter that starts at random in
    each millisecond (RFC 9562, section 6.2, method 1), 42 random bits.
    """
    with _lock:
        millis, number = _numbers(1)
        return _id(_head(millis), number, _random.getrandbits(_RANDOM_BITS))


def new_ids(count: int) -> list[UUID]:
    """Return `count` ids, each greater than the one before: the clock is read once for all of them."""
    if count == 1:
        return [new_id()]
    with _lock:
        millis, first = _numbers(count)
        random = [_random.getrandbits(_RANDOM_BITS) for _ in range(count)]
    head = _head(millis)
    return [_id(head, number, bits) for number, bits in enumerate(random, first)]


def _numbers(count: int) -> tuple[int, int]:
    """Return the millisecond and counter of the first of `count` ids, and advance the counter past them."""
    global _last_millis, _counter  # noqa: PLW0603 - one sequence for the process, under its lock
    millis = _time_ns() // 1_000_000
    if millis > _last_millis:
        _last_millis, first = millis, _random.getrandbits(_COUNTER_BITS - 1)
    else:
        first = _counter + 1
        if first + count > 1 << _COUNTER_BITS:
            _last_millis, first = _last_millis + 1, 0
    _counter = first + count - 1
    return _last_millis, first


def derived_id(source: UUID, micros: int) -> UUID:
    """Return the only id for a source and a moment: the same for every caller and call.

    A UUIDv8 (RFC 9562, section 5.8) with the layout of `new_id`, so that it sorts by the moment: 48 bits of Unix
    milliseconds, the version, and 74 bits of a BLAKE2 digest of the source and the moment in microseconds.
    """
    digest = blake2b(source.bytes + micros.to_bytes(8, "big", signed=True), digest_size=10).digest()
    bits = int.from_bytes(digest, "big")
    high = (micros // 1000 & (1 << 48) - 1) << 80 | 0x8 << 76 | (bits >> 68) << 64
    return UUID(int=high | 0b10 << 62 | bits & ((1 << 62) - 1))


def named_id(*names: str) -> UUID:
    """Return the only id for some names, in order: a UUIDv8 made of their BLAKE2 digest."""
    parts = [name.encode() for name in names]
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    bits = int.from_bytes(blake2b(text, digest_size=16).digest(), "big")
    high = bits >> 64 & ~(0xF << 12) | 0x8 << 12
    return UUID(int=high << 64 | 0b10 << 62 | bits & ((1 << 62) - 1))


@contextmanager
def reproducible_ids(seed: int, time_ns: Callable[[], int]) -> Iterator[None]:
    """Within the block, `new_id` follows from `seed` and from the nanoseconds since 1970 that `time_ns` returns.

    For reproducible simulations: one at a time in a process, and nothing beside it.
    """
    global _time_ns, _last_millis, _counter
    before = _time_ns, _last_millis, _counter, _random.getstate()
    _time_ns, _last_millis, _counter = time_ns, 0, 0
    _random.seed(seed)
    try:
        yield
    finally:
        _time_ns, _last_millis, _counter = before[:3]
        _random.setstate(before[3])


def _head(millis: int) -> int:
    """Return the start of the ids of one millisecond, with their version and variant."""
    return (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | 0b10 << 62


def _id(head: int, number: int, bits: int) -> UUID:
    return id_of(head | (number >> 20) << 64 | (number & 0xFFFFF) << _RANDOM_BITS | bits)


_new, _set = object.__new__, object.__setattr__


def id_of(value: int) -> UUID:
    """Return the UUID of a 128-bit number, without the constructor's checks, which take longer than everything else."""
    made = _new(UUID)
    _set(made, "int", value)
    _set(made, "is_safe", SafeUUID.unknown)
    return made


def as_id(job_id: UUID | str, cluster_id: str) -> UUID:
    """Return a job id; raises `JobNotFoundError` for a string that is not an id."""
    if isinstance(job_id, UUID):
        return job_id
    try:
        return UUID(job_id)
    except (ValueError, AttributeError, TypeError):
        raise JobNotFoundError(job_id, cluster_id) from None
