"""Job ids: UUID version 7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

import os
import time
from random import Random
from threading import Lock
from uuid import UUID, SafeUUID

_lock = Lock()
_random = Random()  # noqa: S311 - ids are to be unique, not secret
_last_millis = 0
_counter = 0
_COUNTER_BITS = 32

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)  # a child must not make the ids that its parent makes


def new_id() -> UUID:
    """Return a UUIDv7 that is greater than every one this process made before.

    Layout: 48 bits of Unix milliseconds, the version, 12 + 20 bits of a counter that starts at random in
    each millisecond (RFC 9562, section 6.2, method 1), 42 random bits.
    """
    global _last_millis, _counter  # noqa: PLW0603 - one sequence for the process, under its lock
    random = _random.getrandbits(72)
    with _lock:
        millis = time.time_ns() // 1_000_000
        if millis > _last_millis:
            _last_millis, _counter = millis, random >> (72 - _COUNTER_BITS + 1)
        else:
            _counter += 1
            if _counter >> _COUNTER_BITS:
                _last_millis, _counter = _last_millis + 1, 0
        millis, counter = _last_millis, _counter
    high = (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | (counter >> 20) << 64
    low = 0b10 << 62 | (counter & 0xFFFFF) << 42 | random & ((1 << 42) - 1)
    return _uuid(high | low)


_new, _set = object.__new__, object.__setattr__


def _uuid(value: int) -> UUID:
    """Return a UUID without its constructor's checks, which take as long as all the rest of a new id."""
    made = _new(UUID)
    _set(made, "int", value)
    _set(made, "is_safe", SafeUUID.unknown)
    return made
