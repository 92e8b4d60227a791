"""The types of the public API: what type checkers let pass and report, and that they name what is accepted at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import getmembers, isclass, ismodule, signature
from typing import Any, get_overloads, get_type_hints
from uuid import UUID

import pytest
from attrs import evolve, fields_dict
from cattrs import Converter

import jobmaster
from jobmaster import (
    config,
    definitions,
    handlers,
    models,
    queries,
    schedule_rules,
    static_schedules,
)
from jobmaster._arguments import options
from jobmaster.config import SHARED, AgentSettings, Settings, WorkerSettings, targets
from jobmaster.config.targets import MoveTarget
from jobmaster.models import JobReceipt, Operator
from jobmaster.schedule_rules import ScheduleRules
from jobmaster.states import ClusterMode, JobStatus, Overlap, Priority, ScheduleStatus, WorkerMode
from tests.typing.check import CHECKERS, differences, marked


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_report_the_wrong_calls_and_no_other(checker: str) -> None:
    assert len(marked()) >= 25
    assert differences(checker) == []


ACCEPTED: Mapping[type, Iterable[str]] = {
    config.ClusterOptions: fields_dict(Settings),
    config.SharedOptions: SHARED,
    config.AgentOptions: fields_dict(AgentSettings).keys() - {"name", "url"},
    config.WorkerOptions: fields_dict(WorkerSettings),
    definitions.DefinitionSettings: definitions.SETTING_NAMES,
    definitions.JobOptions: options.JOB_OPTIONS,
    definitions.ScheduleOptions: options.ONCE_NOW.options,
    definitions.RequestOptions: options.REQUEST.options,
    schedule_rules.RuleOptions: fields_dict(ScheduleRules).keys() - {"expression"},
    handlers.HandlerOptions: options.OPTION_NAMES,
    handlers.HandlerSettings: {*definitions.SETTING_NAMES, *options.RULE_NAMES, "every", "cron"},
    # Who makes it durable first is no question of a schedule, which only the master has.
    schedule_rules.RecurringOptions: options.RECURRING.options,
    schedule_rules.RecurringChanges: options.UPDATE.options - {"key", "cluster"},
    static_schedules.StaticOptions: options.STATIC.options | options.RULE_NAMES,
    queries.JobConditions: signature(queries._query).parameters,
    targets.MoveOptions: fields_dict(MoveTarget).keys() - {"url", "cluster_id"},
}


@pytest.mark.parametrize("kind", ACCEPTED, ids=lambda kind: kind.__name__)
def test_typed_options_are_those_that_are_accepted(kind: type) -> None:
    assert get_type_hints(kind).keys() == set(ACCEPTED[kind])


@pytest.mark.parametrize(
    ("literal", "names"),
    [
        (config.PriorityName, [priority.name.lower() for priority in Priority]),
        (models.OperatorName, list(Operator)),
        (config.ModeName, list(ClusterMode)),
        (queries.StatusName, list(JobStatus)),
        (queries.ScheduleStatusName, list(ScheduleStatus)),
        (config.WorkerOptions.__annotations__["mode"], list(WorkerMode)),
        (schedule_rules.RuleOptions.__annotations__["overlap"], list(Overlap)),
    ],
)
def test_names_of_members_are_those_that_there_are(literal: Any, names: list[str]) -> None:
    assert _names_in(literal) == sorted(map(str, names))


def _names_in(literal: Any) -> list[str]:
    """Return the texts in the arguments of a `Literal`, or of the one within an annotation."""
    written = literal.__forward_arg__ if hasattr(literal, "__forward_arg__") else repr(literal)
    inside = written.split("Literal[")[1].split("]")[0]
    return sorted(name.strip(" \n'\",") for name in inside.split(",") if name.strip())


def test_receipts_and_requests_of_a_result_are_plain_classes_for_attrs_and_cattrs() -> None:
    receipt = JobReceipt[int](job_id=UUID(int=1), accepted_by="master")
    assert receipt == evolve(receipt, created=True) == JobReceipt(job_id=UUID(int=1), accepted_by="master")

    converter = Converter()
    converter.register_structure_hook(UUID, lambda text, _: UUID(text))
    converter.register_unstructure_hook(UUID, str)
    plain = converter.unstructure(receipt)
    for kind in (JobReceipt, JobReceipt[int]):
        assert converter.structure(plain, kind) == receipt


ANYTHING: Mapping[str, str] = {
    "Cluster.lifespan": "an ASGI application of any framework",
    "JobHandler.handle": "what a subclass makes of it",
    "JobObserver.on_started": "the context, which hooks stand below",
    "JobRequest.__init__": "made by `request`",
    "MessageData.get_json": "a default of any type",
    "MessageData.of": "values of any type",
    "MessageData.stored": "a default of any type",
    "Metadata.of": "checked value by value",
    "Metadata.stored": "a default of any type",
    "MetadataFilter.__init__": "a value, or several",
    "MoveTarget.__init__": "made by `Cluster.target`",
}
"""Where a public call takes a bare `Any`, and why."""


def test_public_calls_say_what_they_take() -> None:
    assert set(_with_any()) == ANYTHING.keys()


def _with_any() -> Iterable[str]:
    for name, public in ((name, getattr(jobmaster, name)) for name in dir(jobmaster)):
        if name.startswith("_") or ismodule(public) or not callable(public):
            continue
        calls = {name: public}
        if isclass(public):
            members = getmembers(public, callable)
            calls = {f"{name}.{n}": m for n, m in members if n == "__init__" or not n.startswith("_")}
        yield from (label for label, call in calls.items() if _takes_any(getattr(call, "__func__", call)))


def _takes_any(call: Any) -> bool:
    """Return whether a parameter of a call, or of one of its overloads, is a bare `Any`."""
    forms = get_overloads(call) if hasattr(call, "__module__") and hasattr(call, "__qualname__") else []
    kinds = [kind for form in forms or [call] for kind in getattr(form, "__annotations__", {}).items()]
    return any(name != "return" and str(kind) in {"Any", "typing.Any"} for name, kind in kinds)
