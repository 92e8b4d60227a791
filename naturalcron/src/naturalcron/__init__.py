"""NaturalCron: recurring schedules in words. These are the public names."""

from naturalcron.errors import ConversionError as ConversionError
from naturalcron.errors import ErrorCode as ErrorCode
from naturalcron.errors import NaturalCronError as NaturalCronError
from naturalcron.errors import ParseError as ParseError
from naturalcron.errors import Problem as Problem
from naturalcron.errors import UnknownZoneError as UnknownZoneError
from naturalcron.expression import Expression as Expression
from naturalcron.expression import parse as parse
from naturalcron.expression import try_parse as try_parse
from naturalcron.units import AmPm as AmPm
from naturalcron.units import DayPosition as DayPosition
from naturalcron.units import Month as Month
from naturalcron.units import Nth as Nth
from naturalcron.units import Unit as Unit
from naturalcron.units import Weekday as Weekday
from naturalcron.zones import find_zone as find_zone
