"""The time zone of this host, by name."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import TZPATH, ZoneInfo

from jobmaster.errors import ConfigurationError
from jobmaster.recurrence.zones import zone_of

log = logging.getLogger("jobmaster.recurrence")

_LINK = Path("/etc/localtime")
_NAME = Path("/etc/timezone")
MOST_LINKS: Final = 40
_UTC: Final = re.compile(r"(UTC|GMT)[+-]?0?", re.IGNORECASE)
_REMEDY: Final = "name the zone that schedules are read in: e.g. Cluster.configure(time_zone='Europe/Paris')"
_MOMENTS: Final = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=10 * n) for n in range(400)]
"""Moments at which a file is compared with the zone that it should contain: eleven years, with any summer times."""


def host_zone_name() -> str:
    """Return the IANA name of this host's time zone.

    Looks at `TZ`, then at where `/etc/localtime` leads, or which zone is copied there. Without both, the C library uses
    UTC, and so does this function, with a warning. A schedule stores the name, so that all processes of a cluster
    agree, no matter which hosts they run on.

    Raises:
        ConfigurationError: there is a time zone, but its name cannot be determined; the message says what was found.

    """
    rule = os.environ.get("TZ")
    if rule is not None:
        return _ruled(rule)
    if os.path.lexists(_LINK):
        return _of_file(_LINK, str(_LINK))
    return _written() or _nothing_said()


def _ruled(rule: str) -> str:
    """Return the name in the variable `TZ`; an empty one means UTC."""
    name = rule.removeprefix(":")
    if name.startswith("/"):
        return _of_file(Path(name), f"TZ={rule!r}")
    if not name or _UTC.fullmatch(name):
        return "UTC"
    known = _known(name)
    if known is None:
        raise _unknown(f"TZ={rule!r} is not the name of a known zone")
    return known


def _of_file(path: Path, what: str) -> str:
    """Return the name of the zone of a file or link."""
    linked = _linked(path)
    if linked is not None:
        known = _known(linked)
        if known is None:
            raise _unknown(f"{what} leads to {linked!r}, which is not a known zone")
        return known
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unknown(f"{what} cannot be read ({error.strerror})") from error
    return _of_copy(content, what)


def _linked(path: Path) -> str | None:
    """Return the zone that a link leads to, by its path below a folder `zoneinfo`; None for a file elsewhere."""
    for target in _targets(path):
        _, found, name = target.partition("/zoneinfo/")
        if found:
            return name
    return None


def _targets(path: Path) -> Iterator[str]:
    """Yield a path and the targets of its links, one after the other: the first name is the chosen one."""
    target = path
    for _ in range(MOST_LINKS):
        yield str(target)
        if not target.is_symlink():
            break
        target = Path(os.path.normpath(target.parent / target.readlink()))
    yield os.path.realpath(path)


def _of_copy(content: bytes, what: str) -> str:
    """Return the name of a zone whose file was copied: the written name if it fits, or that of an identical file."""
    same, written = _same_files(content), _written()
    if written and (written in same or (not same and _behaves_like(content, written))):
        return written
    if not same:
        beside = f", and is not the zone {written!r} that {_NAME} names" if written else ""
        raise _unknown(f"{what} is a file that does not say its zone's name{beside}")
    return "UTC" if "UTC" in same else same[0]


def _same_files(content: bytes) -> list[str]:
    """Return the names of the zones whose files are identical: several names of one zone."""
    found = {
        _known(str(file.relative_to(folder)))
        for folder in map(Path, TZPATH)
        for file in folder.rglob("*")
        if file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content
    }
    return sorted(filter(None, found), key=lambda name: ("/" not in name, name))


def _behaves_like(content: bytes, name: str) -> bool:
    """Whether a file of another version of the database belongs to a zone: it shows the same times."""
    try:
        zone = ZoneInfo.from_file(io.BytesIO(content))
    except ValueError:
        return False
    wanted = ZoneInfo(name)
    return all(
        moment.astimezone(zone).utcoffset() == moment.astimezone(wanted).utcoffset() for moment in _MOMENTS
    )


def _written() -> str | None:
    """Return the zone that `/etc/timezone` names, if the file exists; raises for an unknown zone."""
    try:
        name = _NAME.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unknown(f"{_NAME} cannot be read ({error})") from error
    known = _known(name) if name else None
    if name and known is None:
        raise _unknown(f"{_NAME} says {name!r}, which is not a known zone")
    return known


def _known(name: str) -> str | None:
    """Return the name of a zone as it is written; None for an unknown zone."""
    try:
        return zone_of(name.removeprefix("posix/").removeprefix("right/")).key
    except ConfigurationError:
        return None


def _nothing_said() -> str:
    _warn()
    return "UTC"


@lru_cache(maxsize=1)  # warns once
def _warn() -> None:
    log.warning("this host has no time zone (no TZ, no %s): schedules are read in UTC; %s", _LINK, _REMEDY)


def _unknown(found: str) -> ConfigurationError:
    return ConfigurationError(
        f"time_zone: the time zone of this host cannot be determined: {found}; {_REMEDY}"
    )
