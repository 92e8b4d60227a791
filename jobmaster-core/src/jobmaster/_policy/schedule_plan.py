"""Which jobs a recurring schedule gets now: misfires, overlap, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final

from attrs import evolve, frozen

from jobmaster.schedule_models import Misfire, MisfireRule, ScheduleRecord
from jobmaster.states import Overlap

Times = Callable[[datetime], datetime | None]
"""Returns the first nominal time strictly after a moment, or None when there is none."""

MOST_AT_ONCE: Final = 1000
"""Most jobs that one plan makes; the rest is left to the next plan, which follows at once."""
MOST_WAITING: Final = 1000
"""Most nominal times that wait for their turn; any more are skipped."""
LEAD: Final = timedelta(seconds=0.5)
"""How long before a nominal time a busy schedule is looked at again: if it is free by then, its job can be made
ahead and starts exactly on time."""
WAITING_POLL: Final = timedelta(seconds=0.5)
"""How often to check whether the next waiting time can have its turn."""


@frozen(kw_only=True)
class Plan:
    """What to do about a schedule now.

    `fire` lists the nominal times to make jobs for; `cancel` says that the newest job must be cancelled first.
    `skipped` counts the nominal times dropped because of overlap; `misfired` says that some were missed. The schedule
    is over if `ended`.
    """

    fire: tuple[datetime, ...] = ()
    cancel: bool = False
    waiting: tuple[datetime, ...] = ()
    planned_to: datetime
    next_at: datetime | None = None
    look_at: datetime | None = None
    skipped: int = 0
    misfired: bool = False
    ended: bool = False


@frozen
class _Due:
    """Nominal times that have come and should run, the last decided moment, and whether any was missed."""

    times: Sequence[datetime]
    planned_to: datetime
    misfired: bool = False


def plan(
    record: ScheduleRecord,
    times: Times,
    now: datetime,
    horizon: timedelta,
    grace: timedelta,
    noticed: datetime | None = None,
) -> Plan:
    """Decide about a schedule at `now`, the store's time.

    Jobs are made up to `horizon` ahead, once it is certain that they will run; if late jobs must not run at all, they
    are made just before their time. Nominal times that were more than `grace` late at `noticed` were missed: that is
    when the planner began with everything it has to plan by now; the default is `now`.
    """
    if record.misfire.rule is MisfireRule.SKIP:
        horizon = min(horizon, LEAD)
    due = _due(record, times, now, (noticed or now) - grace)
    if record.overlap is Overlap.ALLOW:
        made = _side_by_side(record, due, times, now, horizon)
    else:
        made = _one_by_one(record, due, times, now, horizon)
    return _over_if_nothing_is_left(made, now)


# Misfires


def decided(record: ScheduleRecord, times: Times, now: datetime, grace: timedelta) -> tuple[datetime, ...]:
    """Return the unplanned nominal times up to `now` that should run, and those that wait.

    For changing a schedule: after the change it is no longer known which times it had.
    """
    while True:
        made = plan(record, times, now, timedelta(0), grace)
        came, following = (*made.fire, *made.waiting), times(made.planned_to)
        if following is None or following > now:
            return came
        record = evolve(record, planned_to=made.planned_to, waiting=came)


def _due(record: ScheduleRecord, times: Times, now: datetime, in_time: datetime) -> _Due:
    """Return the times that have come since the schedule was last planned, without missed ones that do not run.

    They were missed if the first of them came before `in_time`.
    """
    first = times(record.planned_to)
    if first is None or first > now:
        return _Due((), record.planned_to)
    if first >= in_time:
        found = list(islice(_from(first, times, now), MOST_AT_ONCE))
        return _Due(found, found[-1])
    return _Due(_kept(record, times, now, in_time), now, misfired=True)


def _kept(record: ScheduleRecord, times: Times, now: datetime, in_time: datetime) -> list[datetime]:
    if record.misfire.rule is MisfireRule.SKIP:
        return list(_after(max(record.planned_to, in_time), times, now))[-MOST_AT_ONCE:]
    return _newest(record.misfire, record.planned_to, times, now)


def _newest(misfire: Misfire, since: datetime, times: Times, now: datetime) -> list[datetime]:
    """Return the newest times, up to the limit. Looks back further and further, so that only the end of years is read."""
    back = timedelta(seconds=1)
    while True:
        begin = max(since, now - back)
        found = list(_after(begin, times, now))
        if len(found) >= misfire.limit or begin == since:
            return found[-misfire.limit :]
        back *= 2


def _after(moment: datetime, times: Times, until: datetime) -> Iterator[datetime]:
    return _from(times(moment), times, until)


def _from(first: datetime | None, times: Times, until: datetime) -> Iterator[datetime]:
    return takewhile(lambda time: time <= until, _all_from(first, times))


def _all_from(time: datetime | None, times: Times) -> Iterator[datetime]:
    while time is not None:
        yield time
        time = times(time)


# Overlap


def _side_by_side(record: ScheduleRecord, due: _Due, times: Times, now: datetime, horizon: timedelta) -> Plan:
    """Jobs may overlap: all times that have come run, and jobs for times within the horizon are made ahead."""
    came = [*record.waiting, *due.times]
    ahead = list(islice(_after(due.planned_to, times, now + horizon), max(0, MOST_AT_ONCE - len(came))))
    planned_to = ahead[-1] if ahead else due.planned_to
    following = times(planned_to)
    return Plan(
        fire=(*came, *ahead),
        planned_to=planned_to,
        next_at=following,
        look_at=following and following - horizon / 2,
        misfired=due.misfired,
    )


def _one_by_one(record: ScheduleRecord, due: _Due, times: Times, now: datetime, horizon: timedelta) -> Plan:
    """At most one job is unfinished, and one is made ahead only when none is."""
    turn = _turn(record, due)
    following = times(turn.planned_to)
    free = not turn.fire and not turn.waiting and not record.busy
    if free and following is not None and following <= now + horizon:
        turn = evolve(turn, fire=(following,), planned_to=following)
        following, free = times(following), False
    look_at = _look_at(following, now, horizon, free=free)
    if turn.waiting:
        look_at = min(look_at or now + WAITING_POLL, now + WAITING_POLL)
    return evolve(turn, next_at=following, look_at=look_at)


def _turn(record: ScheduleRecord, due: _Due) -> Plan:
    """Return which of the times that have come run now, and which wait."""
    line, skipped = list(record.waiting), 0
    fire: tuple[datetime, ...] = ()
    cancel = False
    if _in_line(record, due):
        line += due.times
        line, skipped = line[:MOST_WAITING], max(0, len(line) - MOST_WAITING)
    elif due.times and record.overlap is Overlap.CANCEL_RUNNING:
        fire, cancel, skipped = (due.times[-1],), record.busy, len(due.times) - 1
    elif due.times and not record.busy and not line:
        fire, skipped = (due.times[0],), len(due.times) - 1
    else:
        skipped = len(due.times)
    if line and not fire and not record.busy:
        fire, line = (line[0],), line[1:]
    return Plan(
        fire=fire,
        cancel=cancel,
        waiting=tuple(line),
        planned_to=due.planned_to,
        skipped=skipped,
        misfired=due.misfired,
    )


def _in_line(record: ScheduleRecord, due: _Due) -> bool:
    """Whether the times run one after the other: by overlap, or because no missed time may be lost."""
    return record.overlap is Overlap.QUEUE or (due.misfired and record.misfire.rule is MisfireRule.RUN_ALL)


# When to look again


def _look_at(following: datetime | None, now: datetime, horizon: timedelta, *, free: bool) -> datetime | None:
    """Return when there will be something to decide: at the horizon, shortly before the time, or when it comes."""
    if following is None:
        return None
    moments = (following - horizon, following - LEAD)
    return next((moment for moment in moments if moment > now), following) if not free else moments[0]


def _over_if_nothing_is_left(made: Plan, now: datetime) -> Plan:
    if made.next_at is not None or made.waiting:
        return made
    if made.planned_to <= now:
        return evolve(made, ended=True)
    return evolve(made, look_at=made.planned_to)
