"""Time zones by name."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from jobmaster.errors import ConfigurationError
from naturalcron import UnknownZoneError, find_zone


def zone_of(name: str, setting: str = "time_zone") -> ZoneInfo:
    """Return the time zone of an IANA name such as `Europe/Paris`; upper and lower case do not matter.

    Raises `ConfigurationError`, which names `setting` and suggests the nearest name.
    """
    try:
        return find_zone(name)
    except UnknownZoneError as error:
        raise ConfigurationError(_unknown(setting, name, error.suggestion)) from None
    except AttributeError:
        raise ConfigurationError(_unknown(setting, name, None)) from None


def _unknown(setting: str, name: object, suggestion: str | None) -> str:
    nearest = f"; did you mean {suggestion!r}?" if suggestion else ""
    return f"{setting}: {name!r} is no known time zone; use an IANA name such as 'Europe/Paris' or 'UTC'{nearest}"
