"""Time zones by name."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from jobmaster.errors import ConfigurationError
from naturalcron import UnknownZoneError, find_zone

UTC_ZONE = ZoneInfo("UTC")


def zone_of(name: str, setting: str = "time_zone") -> ZoneInfo:
    """Return the time zone of an IANA name such as `Europe/Paris`; upper and lower case do not matter.

    Raises `ConfigurationError`, which names `setting` and suggests the nearest name.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"{setting}: {name!r} is no name of a time zone; {_EXAMPLES}")
    try:
        return find_zone(name)
    except UnknownZoneError as error:
        raise ConfigurationError(f"{setting}: {error}; {_EXAMPLES}") from None


def zone_or_utc(name: str | None, setting: str = "time_zone") -> ZoneInfo:
    """Return the time zone of a name, and UTC without one.

    Not the host's zone: the processes of a cluster run on different hosts and have to agree.
    """
    return UTC_ZONE if name is None else zone_of(name, setting)


_EXAMPLES = "use an IANA name such as 'Europe/Paris' or 'UTC'"
