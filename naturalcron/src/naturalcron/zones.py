"""Time zones by name, and what somebody may have meant who wrote none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from naturalcron.errors import UnknownZoneError

ABBREVIATIONS: Final[dict[str, tuple[float, tuple[str, ...]]]] = {
    "ACDT": (10.5, ("Australia/Adelaide",)),
    "ACST": (9.5, ("Australia/Darwin",)),
    "ADT": (-3, ("America/Halifax",)),
    "AEDT": (11, ("Australia/Sydney",)),
    "AEST": (10, ("Australia/Brisbane", "Australia/Sydney")),
    "AKDT": (-8, ("America/Anchorage",)),
    "AKST": (-9, ("America/Anchorage",)),
    "ART": (-3, ("America/Argentina/Buenos_Aires",)),
    "AST": (-4, ("America/Halifax",)),
    "AWST": (8, ("Australia/Perth",)),
    "BRT": (-3, ("America/Sao_Paulo",)),
    "BST": (1, ("Europe/London",)),
    "CAT": (2, ("Africa/Maputo",)),
    "CDT": (-5, ("America/Chicago",)),
    "CEST": (2, ("Europe/Paris", "Europe/Berlin")),
    "CLT": (-4, ("America/Santiago",)),
    "COT": (-5, ("America/Bogota",)),
    "CST": (-6, ("America/Chicago",)),
    "EAT": (3, ("Africa/Nairobi",)),
    "EDT": (-4, ("America/New_York",)),
    "EEST": (3, ("Europe/Helsinki", "Europe/Athens")),
    "ET": (-5, ("America/New_York",)),
    "GST": (4, ("Asia/Dubai",)),
    "HKT": (8, ("Asia/Hong_Kong",)),
    "ICT": (7, ("Asia/Bangkok",)),
    "IST": (5.5, ("Asia/Kolkata",)),
    "JST": (9, ("Asia/Tokyo",)),
    "KST": (9, ("Asia/Seoul",)),
    "MDT": (-6, ("America/Denver",)),
    "MESZ": (2, ("Europe/Berlin",)),
    "MEZ": (1, ("Europe/Berlin",)),
    "MSK": (3, ("Europe/Moscow",)),
    "NDT": (-2.5, ("America/St_Johns",)),
    "NST": (-3.5, ("America/St_Johns",)),
    "NZDT": (13, ("Pacific/Auckland",)),
    "NZST": (12, ("Pacific/Auckland",)),
    "PDT": (-7, ("America/Los_Angeles",)),
    "PKT": (5, ("Asia/Karachi",)),
    "PST": (-8, ("America/Los_Angeles",)),
    "PT": (-8, ("America/Los_Angeles",)),
    "SAST": (2, ("Africa/Johannesburg",)),
    "SGT": (8, ("Asia/Singapore",)),
    "TRT": (3, ("Europe/Istanbul",)),
    "WAT": (1, ("Africa/Lagos",)),
    "WEST": (1, ("Europe/Lisbon",)),
    "WIB": (7, ("Asia/Jakarta",)),
}
"""Abbreviations that name no zone: an offset that they stand for, in hours, and places that have it."""

COUNTRIES: Final[dict[str, tuple[str, ...]]] = {
    "argentina": ("America/Argentina/Buenos_Aires",),
    "australia": ("Australia/Sydney", "Australia/Perth"),
    "austria": ("Europe/Vienna",),
    "belgium": ("Europe/Brussels",),
    "brazil": ("America/Sao_Paulo", "America/Manaus"),
    "bulgaria": ("Europe/Sofia",),
    "canada": ("America/Toronto", "America/Vancouver"),
    "chile": ("America/Santiago", "America/Punta_Arenas"),
    "china": ("Asia/Shanghai",),
    "colombia": ("America/Bogota",),
    "croatia": ("Europe/Zagreb",),
    "czechia": ("Europe/Prague",),
    "czech_republic": ("Europe/Prague",),
    "denmark": ("Europe/Copenhagen",),
    "england": ("Europe/London",),
    "estonia": ("Europe/Tallinn",),
    "finland": ("Europe/Helsinki",),
    "france": ("Europe/Paris",),
    "germany": ("Europe/Berlin",),
    "great_britain": ("Europe/London",),
    "greece": ("Europe/Athens",),
    "hungary": ("Europe/Budapest",),
    "india": ("Asia/Kolkata",),
    "indonesia": ("Asia/Jakarta", "Asia/Makassar"),
    "ireland": ("Europe/Dublin",),
    "italy": ("Europe/Rome",),
    "kenya": ("Africa/Nairobi",),
    "korea": ("Asia/Seoul",),
    "latvia": ("Europe/Riga",),
    "lithuania": ("Europe/Vilnius",),
    "malaysia": ("Asia/Kuala_Lumpur",),
    "mexico": ("America/Mexico_City", "America/Tijuana"),
    "netherlands": ("Europe/Amsterdam",),
    "new_zealand": ("Pacific/Auckland",),
    "nigeria": ("Africa/Lagos",),
    "norway": ("Europe/Oslo",),
    "pakistan": ("Asia/Karachi",),
    "peru": ("America/Lima",),
    "philippines": ("Asia/Manila",),
    "romania": ("Europe/Bucharest",),
    "russia": ("Europe/Moscow", "Asia/Novosibirsk"),
    "saudi_arabia": ("Asia/Riyadh",),
    "scotland": ("Europe/London",),
    "serbia": ("Europe/Belgrade",),
    "slovakia": ("Europe/Bratislava",),
    "slovenia": ("Europe/Ljubljana",),
    "south_africa": ("Africa/Johannesburg",),
    "south_korea": ("Asia/Seoul",),
    "spain": ("Europe/Madrid", "Atlantic/Canary"),
    "sweden": ("Europe/Stockholm",),
    "switzerland": ("Europe/Zurich",),
    "taiwan": ("Asia/Taipei",),
    "thailand": ("Asia/Bangkok",),
    "uk": ("Europe/London",),
    "ukraine": ("Europe/Kyiv",),
    "united_kingdom": ("Europe/London",),
    "united_states": ("America/New_York", "America/Los_Angeles"),
    "us": ("America/New_York", "America/Los_Angeles"),
    "usa": ("America/New_York", "America/Los_Angeles"),
    "vietnam": ("Asia/Ho_Chi_Minh",),
}
"""Countries that are no names of zones, and the zones of their places."""

_OFFSET: Final = re.compile(r"(?:ETC/)?(?:UTC|GMT|Z)?\s*([+-])\s*(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_UNSIGNED: Final = re.compile(r"(?:UTC|GMT)()\s*(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_ZERO: Final = re.compile(r"Z|(?:(?:UTC|GMT)[+-]?|[+-])0?0(?::?00)?", re.IGNORECASE)
_WINDOWS: Final = re.compile(r".+ (?:standard|daylight|summer) time", re.IGNORECASE)
_LONGEST_ABBREVIATION: Final = 4
_LONGEST_NAME: Final = 60
_SAME_CITY: Final = 0.8
_SAME_NAME: Final = 0.75


@lru_cache(maxsize=256)
def find_zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name such as `Europe/Lisbon`, in whatever case it is written.

    Raises `UnknownZoneError` if the zone database has none of this name.
    """
    try:
        return ZoneInfo(_names()[name.lower()])
    except KeyError:
        raise _unknown(name) from None


def _unknown(name: str) -> UnknownZoneError:
    plain = name.strip()
    if len(plain) > _LONGEST_NAME:
        return UnknownZoneError(name)
    reason = _reason(plain)
    return UnknownZoneError(name, None if reason else _nearest(plain), reason)


@cache
def _names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _reason(name: str) -> str:
    """Return why a name is none of a zone, as a sentence that follows the message, or nothing."""
    if name.upper() in ABBREVIATIONS:
        places = " or ".join(map(repr, ABBREVIATIONS[name.upper()][1]))
        return (
            f". An abbreviation stands for an offset, and often for several: name the place, such as {places}"
        )
    if _ZERO.fullmatch(name):
        return ""
    if len(zones := _in_country(name)) > 1:
        return f". That country has several: name the place, such as {' or '.join(map(repr, zones))}"
    if offset := _OFFSET.fullmatch(name) or _UNSIGNED.fullmatch(name):
        return _fixed(offset[1] or "+", int(offset[2]), int(offset[3] or 0))
    if _WINDOWS.fullmatch(name):
        return ". That is a Windows name, which does not name a place"
    return ""


def _in_country(name: str) -> Sequence[str]:
    return COUNTRIES.get(name.lower().replace(" ", "_"), ())


def _fixed(sign: str, hours: int, minutes: int) -> str:
    """Return what to write for an offset. The names of zones that are one count westwards, and have whole hours."""
    other = "-" if sign == "+" else "+"
    name = f"Etc/GMT{other}{hours}"
    if minutes == 0 and name in available_timezones():
        return f". For a fixed offset of {sign}{hours} h, on which no clock is changed, write {name!r}"
    return ". An offset is not a zone: name a place that has it"


def _nearest(name: str) -> str | None:
    """Return the zone that has the name of the same place; never one that is merely written alike."""
    if _ZERO.fullmatch(name):
        return "UTC"
    if zones := _in_country(name):
        return zones[0]
    plain = name.lower().replace(" ", "_")
    city = plain.rpartition("/")[2]
    if same := _cities().get(city):
        return min(same, key=lambda zone: (zone.rpartition("/")[0].lower() not in plain, zone))
    if len(plain) <= _LONGEST_ABBREVIATION:
        return None
    if "/" in plain:
        found = get_close_matches(plain, _places(), n=1, cutoff=_SAME_NAME)
        return _places()[found[0]] if found else None
    near = get_close_matches(city, _cities(), n=1, cutoff=_SAME_CITY)
    return min(_cities()[near[0]]) if near else None


@cache
def _places() -> dict[str, str]:
    """Return the zones that are named after places, by their names in lower case."""
    return {
        name.lower(): name for name in available_timezones() if "/" in name and not name.startswith("Etc/")
    }


@cache
def _cities() -> dict[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name in _places().values():
        found.setdefault(name.rpartition("/")[2].lower(), []).append(name)
    return {city: sorted(zones) for city, zones in found.items()}
