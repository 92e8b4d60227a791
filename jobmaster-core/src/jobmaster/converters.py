"""Models as plain JSON values, as the command line prints them; APIs may use them too.

Moments are ISO 8601 in UTC with microseconds, ids and states are strings, priorities lower-case names, and message data
and metadata keep their stored form, which loses nothing (see `jobmaster.data`).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from jobmaster.data import MessageData, Metadata
from jobmaster.models import (
    AgentRecord,
    Attempt,
    Bucket,
    ClusterRecord,
    HostRecord,
    JobRecord,
    LogLine,
    WorkerRecord,
)
from jobmaster.schedule_models import Misfire, ScheduleRecord
from jobmaster.states import CodedEnum, Priority

_OMIT = override(omit=True)


def to_plain(model: Any) -> Any:
    """Return a model (`JobRecord`, `Attempt`, `Bucket`, `WorkerRecord`, …) as plain JSON values."""
    return _converter.unstructure(model)


def iso(moment: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC with microseconds, such as `2026-01-31T12:00:00.000000Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stored(values: MessageData | Metadata) -> Any:
    """Return values in their stored form as JSON values, or as text if they are not JSON, as in a damaged row."""
    try:
        return json.loads(values.encoded)
    except ValueError:
        return values.encoded.decode(errors="replace")


def _make_converter() -> Converter:
    made = Converter()
    made.register_unstructure_hook(datetime, iso)
    made.register_unstructure_hook(UUID, str)
    made.register_unstructure_hook(Priority, lambda priority: priority.name.lower())
    made.register_unstructure_hook_func(_is_state, str)
    made.register_unstructure_hook(MessageData, stored)
    made.register_unstructure_hook(Metadata, stored)
    hidden = {
        Attempt: {"logs"},
        LogLine: {"subject", "subject_id"},
        Bucket: {"cluster_id", "former_owner", "claimed_to", "created_at", "status_changed_at"},
        WorkerRecord: {"cluster_id", "process_id"},
        AgentRecord: {"cluster_id"},
        HostRecord: {"cluster_id"},
    }
    for model, names in hidden.items():
        omitted: dict[str, Any] = dict.fromkeys(names, _OMIT)
        made.register_unstructure_hook(model, make_dict_unstructure_fn(model, made, **omitted))
    lanes = override(unstruct_hook=sorted)
    cluster = make_dict_unstructure_fn(ClusterRecord, made, paused_lanes=lanes)
    made.register_unstructure_hook(ClusterRecord, cluster)
    made.register_unstructure_hook(JobRecord, _job_record(made))
    made.register_unstructure_hook(Misfire, str)
    made.register_unstructure_hook(ScheduleRecord, _schedule_record(made))
    return made


def _is_state(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, CodedEnum)


def _job_record(made: Converter) -> Any:
    """Return the hook that puts the fields of a job and of its record side by side."""
    fields = make_dict_unstructure_fn(JobRecord, made, job=_OMIT)
    return lambda record: made.unstructure(record.job) | fields(record)


def _schedule_record(made: Converter) -> Any:
    """Return the hook that puts the jobs' common fields beside the schedule's own."""
    planner = {"planned_to", "look_at", "waiting", "newest_job_id", "busy", "version", "alive_until"}
    planner |= {"read_at", "starts_now"}
    omitted: dict[str, Any] = dict.fromkeys({"job", *planner}, _OMIT)
    fields = make_dict_unstructure_fn(ScheduleRecord, made, **omitted)

    def hook(record: ScheduleRecord) -> dict[str, Any]:
        template = made.unstructure(record.job)
        template["starts_after"] = template.pop("scheduled_at")
        return dict(template | fields(record))

    return hook


_converter = _make_converter()

__all__ = ["iso", "stored", "to_plain"]
