"""Time zones by name."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from naturalcron.errors import UnknownZoneError
from naturalcron.words import LONGEST_WORD


@lru_cache(maxsize=256)
def find_zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name such as `Europe/Lisbon`, in whatever case it is written.

    Raises `UnknownZoneError` if the zone database has none of this name.
    """
    try:
        return ZoneInfo(_names()[name.lower()])
    except KeyError:
        raise UnknownZoneError(name, _nearest(name)) from None


@cache
def _names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _nearest(name: str) -> str | None:
    lowered = name.lower()
    if len(lowered) > LONGEST_WORD:
        return None
    # The city alone is what people remember: `Lisbon`, `america/lisbon`.
    city = lowered.rpartition("/")[2]
    same_city = [known for known in _names() if known.rpartition("/")[2] == city]
    found = same_city or get_close_matches(lowered, _names(), n=1, cutoff=0.6)
    return _names()[min(found)] if found else None
