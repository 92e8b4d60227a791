"""The static schedules of this process, as they are declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobmaster._pipeline.schedule import Schedule
from jobmaster._upkeep.keep_static_schedules import Declaration
from jobmaster.handlers import Registry
from jobmaster.ids import named_id
from jobmaster.models import Job, evolve
from jobmaster.schedule_rules import schedule_of, zone_name
from jobmaster.static_schedules import StaticSchedule, declared

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment


def declarations(env: Environment, static: Sequence[StaticSchedule]) -> list[Declaration]:
    """Return the static schedules, including those on handlers, made with the current settings.

    Raises `ConfigurationError` for a wrong one.
    """
    schedules = declared(env.registry if env.serves else Registry(()), static)
    build = Schedule(env.cluster_id, lambda: env.settings, env.clock)
    templates = [new.job for new in build.jobs([schedule.request for schedule in schedules])]
    return [
        _declaration(env, schedule, template) for schedule, template in zip(schedules, templates, strict=True)
    ]


def _declaration(env: Environment, schedule: StaticSchedule, template: Job) -> Declaration:
    known = evolve(template, id=named_id(env.cluster_id, "schedule", schedule.name))
    zone = zone_name(schedule.rules, env.settings.time_zone)
    record = schedule_of(schedule.rules, known, env.plugins.kinds, zone, schedule.name)
    return Declaration(record, anchored=schedule.rules.starts_after is not None)
