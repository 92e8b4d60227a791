"""Time zones by name, and suggestions for unknown names."""

from __future__ import annotations

import logging
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from jobmaster.errors import ConfigurationError
from jobmaster.urls import said

log = logging.getLogger("jobmaster.recurrence")

ZONES_OF_NO_PLACE: Final[dict[str, tuple[str, ...]]] = {
    "CET": ("Europe/Paris", "Europe/Berlin"),
    "CST6CDT": ("America/Chicago",),
    "EET": ("Europe/Athens", "Europe/Helsinki"),
    "EST": ("America/New_York", "America/Panama"),
    "EST5EDT": ("America/New_York",),
    "HST": ("Pacific/Honolulu",),
    "MET": ("Europe/Berlin", "Europe/Paris"),
    "MST": ("America/Denver", "America/Phoenix"),
    "MST7MDT": ("America/Denver",),
    "PST8PDT": ("America/Los_Angeles",),
    "WET": ("Europe/Lisbon",),
}
"""Zones of the database with names like abbreviations, and places that may be meant. Some never change their clock."""


def zone_of(name: str, setting: str = "time_zone") -> ZoneInfo:
    """Return the time zone of an IANA name such as `Europe/Paris`; upper and lower case do not matter.

    Raises `ConfigurationError`, which names `setting` and a suggestion: a zone with the name of the same place, never
    one that is merely spelled similarly and has another offset.
    """
    from naturalcron import UnknownZoneError, find_zone

    try:
        return find_zone(name)
    except UnknownZoneError as error:
        advice = error.advice
    except (AttributeError, TypeError):
        advice = ""
    raise ConfigurationError(_unknown(setting, name, advice))


def remark_on(zone: ZoneInfo) -> str:
    """Return a remark on a zone whose name may have been meant differently; empty for any other."""
    places = " or ".join(map(repr, ZONES_OF_NO_PLACE.get(zone.key, ())))
    if not places:
        return ""
    return (
        f"time zone {zone.key!r} is named like an abbreviation, and may not change its clock when a place does; "
        f"name the place, such as {places}"
    )


@cache  # warns once
def warn_of(zone: ZoneInfo) -> None:
    """Log the remark on a chosen zone, if there is one."""
    if remark := remark_on(zone):
        log.warning("%s", remark)


_LONGEST: Final = 2000
"""The longest name, in characters, that an error shows in full."""


def _unknown(setting: str, name: object, advice: str = "") -> str:
    return f"{setting}: {said(name)} is not a known time zone; use an IANA name such as 'Europe/Paris' or 'UTC'{advice}"
