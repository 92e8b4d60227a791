"""When recurring schedules fire: expressions of several kinds, compiled to objects that return the next time.

The built-in kinds are `interval`, `natural` and `cron`; plug-ins add theirs through the hook
`jobmaster_recurrence_kinds`, like the built-in ones.
"""

from jobmaster.recurrence.expressions import Cron as Cron
from jobmaster.recurrence.expressions import NaturalCron as NaturalCron
from jobmaster.recurrence.interval import Interval as Interval
from jobmaster.recurrence.kinds import Kinds as Kinds
from jobmaster.recurrence.kinds import Recurrence as Recurrence
from jobmaster.recurrence.kinds import RecurrenceKind as RecurrenceKind
from jobmaster.recurrence.kinds import upcoming as upcoming
from jobmaster.recurrence.zones import zone_of as zone_of
