"""The time zone of this host, by name."""

from __future__ import annotations

import os
from pathlib import Path

from jobmaster.errors import ConfigurationError
from jobmaster.recurrence.zones import zone_of

_LINK = Path("/etc/localtime")
_NAME = Path("/etc/timezone")


def host_zone_name() -> str:
    """Return the IANA name of this host's time zone, and `UTC` where it cannot be told.

    Looks at `TZ`, then at where `/etc/localtime` leads, then into `/etc/timezone`. A schedule stores the name, so
    that all processes of a cluster agree whichever hosts they run on.
    """
    for name in (os.environ.get("TZ", "").lstrip(":"), _linked(), _written()):
        if name and _is_known(name):
            return zone_of(name).key
    return "UTC"


def _linked() -> str:
    target = os.path.realpath(_LINK)
    return target.partition("zoneinfo/")[2]


def _written() -> str:
    try:
        return _NAME.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _is_known(name: str) -> bool:
    try:
        zone_of(name)
    except ConfigurationError:
        return False
    return True
