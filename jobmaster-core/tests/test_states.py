"""The tables of states: nothing leaves them, nothing gets stuck in them, and their codes stay as they are."""

from collections.abc import Mapping
from copy import copy
from enum import Enum
from pickle import dumps, loads
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster.errors import InvalidTransitionError
from jobmaster.states import (
    BUCKET_TRANSITIONS,
    IN_BUCKET,
    JOB_TRANSITIONS,
    OUTCOME_STATUSES,
    TERMINAL,
    AttemptOutcome,
    BucketStatus,
    ClusterMode,
    CodedEnum,
    JobStatus,
    Priority,
    WorkerMode,
    WorkerStatus,
    check_transition,
    codes,
)

S = TypeVar("S", bound=Enum)

STORED = {
    JobStatus: "save_pending held_on_master assigned_to_bucket queued processing succeeded failed cancelled",
    AttemptOutcome: "succeeded failed timed_out cancelled discarded snoozed interrupted lost poisoned",
    BucketStatus: "active completing lost draining ready_to_delete",
    WorkerStatus: "active stopping stopped lost",
    WorkerMode: "full coordinator execution drain",
    ClusterMode: "active passive archived migrating",
}
"""What databases hold as 1, 2, 3, …: append to these, and never change them."""


def reachable(table: Mapping[S, frozenset[S]], start: S) -> set[S]:
    seen, left = set[S](), [start]
    while left:
        for after in table[left.pop()] - seen:
            seen.add(after)
            left.append(after)
    return seen


class TestJobs:
    def test_every_status_has_its_row(self) -> None:
        assert set(JOB_TRANSITIONS) == set(JobStatus)

    def test_every_status_can_be_reached(self) -> None:
        assert reachable(JOB_TRANSITIONS, JobStatus.SAVE_PENDING) | {JobStatus.SAVE_PENDING} == set(JobStatus)

    def test_nothing_becomes_save_pending_again(self) -> None:
        assert all(JobStatus.SAVE_PENDING not in after for after in JOB_TRANSITIONS.values())

    @pytest.mark.parametrize("status", JobStatus)
    def test_from_everywhere_every_end_can_be_reached(self, status: JobStatus) -> None:
        assert reachable(JOB_TRANSITIONS, status) >= TERMINAL

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    def test_an_end_is_left_only_by_a_retry(self, status: JobStatus) -> None:
        assert status.is_terminal
        assert JOB_TRANSITIONS[status] == {JobStatus.HELD_ON_MASTER}

    def test_a_held_job_runs_only_through_a_bucket(self) -> None:
        assert JOB_TRANSITIONS[JobStatus.HELD_ON_MASTER] == {
            JobStatus.ASSIGNED_TO_BUCKET,
            JobStatus.CANCELLED,
        }

    @pytest.mark.parametrize("status", sorted(IN_BUCKET))
    def test_a_job_in_a_bucket_can_end_or_go_back(self, status: JobStatus) -> None:
        assert not status.is_terminal
        assert JOB_TRANSITIONS[status] >= TERMINAL | {JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET}

    @given(st.sampled_from(JobStatus), st.lists(st.sampled_from(JobStatus)))
    def test_no_path_leaves_the_table(self, start: JobStatus, path: list[JobStatus]) -> None:
        status = start
        for after in path:
            if after in JOB_TRANSITIONS[status]:
                check_transition("j", status, after)
                status = after
            else:
                with pytest.raises(
                    InvalidTransitionError, match=rf"job j is {status} and cannot become {after}"
                ):
                    check_transition("j", status, after)

        assert status is start or status in reachable(JOB_TRANSITIONS, start)


class TestOutcomes:
    def test_every_outcome_leads_somewhere(self) -> None:
        assert set(OUTCOME_STATUSES) == set(AttemptOutcome)
        assert all(OUTCOME_STATUSES.values())

    @pytest.mark.parametrize("outcome", AttemptOutcome)
    def test_outcomes_lead_where_a_job_in_a_bucket_may_go(self, outcome: AttemptOutcome) -> None:
        for before in IN_BUCKET:
            assert OUTCOME_STATUSES[outcome] <= JOB_TRANSITIONS[before]

    @pytest.mark.parametrize("outcome", AttemptOutcome)
    def test_no_outcome_leaves_a_job_running(self, outcome: AttemptOutcome) -> None:
        assert not OUTCOME_STATUSES[outcome] & {
            JobStatus.SAVE_PENDING,
            JobStatus.QUEUED,
            JobStatus.PROCESSING,
        }

    def test_success_comes_of_success_alone(self) -> None:
        leading = {o for o, statuses in OUTCOME_STATUSES.items() if JobStatus.SUCCEEDED in statuses}

        assert leading == {AttemptOutcome.SUCCEEDED}
        assert OUTCOME_STATUSES[AttemptOutcome.SUCCEEDED] == {JobStatus.SUCCEEDED}

    @pytest.mark.parametrize(
        "outcome", [AttemptOutcome.INTERRUPTED, AttemptOutcome.LOST, AttemptOutcome.SNOOZED]
    )
    def test_what_is_nobodys_fault_does_not_fail_a_job(self, outcome: AttemptOutcome) -> None:
        assert JobStatus.FAILED not in OUTCOME_STATUSES[outcome]


class TestBuckets:
    def test_every_status_has_its_row(self) -> None:
        assert set(BUCKET_TRANSITIONS) == set(BucketStatus)

    def test_every_bucket_can_be_deleted_at_last(self) -> None:
        for status in set(BucketStatus) - {BucketStatus.READY_TO_DELETE}:
            assert BucketStatus.READY_TO_DELETE in reachable(BUCKET_TRANSITIONS, status)

    def test_nothing_comes_after_that(self) -> None:
        assert BUCKET_TRANSITIONS[BucketStatus.READY_TO_DELETE] == frozenset()

    def test_a_lost_bucket_is_drained_before_it_is_deleted(self) -> None:
        assert BUCKET_TRANSITIONS[BucketStatus.LOST] == {BucketStatus.DRAINING}

    def test_no_bucket_becomes_active_again(self) -> None:
        assert all(BucketStatus.ACTIVE not in after for after in BUCKET_TRANSITIONS.values())


class TestCodes:
    @pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
    def test_stored_codes_stay_as_they_are(self, kind: type[CodedEnum]) -> None:
        names = STORED[kind].split()

        assert {member.value: member.code for member in kind} == {
            name: code for code, name in enumerate(names, 1)
        }

    @given(st.sampled_from([member for kind in STORED for member in kind]))
    def test_codes_come_back_as_members(self, member: CodedEnum) -> None:
        assert type(member).from_code(member.code) is member
        assert type(member)(member.value) is member
        assert member == str(member) == member.value

    @given(st.sampled_from(sorted(STORED, key=lambda kind: kind.__name__)), st.integers())
    def test_an_unknown_code_is_a_state_that_is_equal_to_no_member(
        self, kind: type[CodedEnum], code: int
    ) -> None:
        found = kind.from_code(code)

        assert found.code == code
        assert found.is_known == (code in range(1, len(kind) + 1)) == (found in set(kind))
        assert found.is_known or str(found) == found.value == f"unknown_{code}"
        assert found == kind.from_code(code)
        assert hash(found) == hash(kind.from_code(code))
        assert copy(found) == found
        assert loads(dumps(found)) == found  # noqa: S301 - our own

    @given(st.integers())
    def test_an_unknown_priority_is_equal_to_no_member(self, code: int) -> None:
        found = Priority.from_code(code)

        assert int(found) == code
        assert (found in set(Priority)) == (1 <= code <= 5)
        assert found.name.lower() == (Priority(code).name.lower() if 1 <= code <= 5 else f"unknown_{code}")
        assert found.slots > 0

    @given(st.frozensets(st.sampled_from(JobStatus)))
    def test_lists_of_codes_are_in_order(self, statuses: frozenset[JobStatus]) -> None:
        assert codes(statuses) == sorted(status.code for status in statuses)


class TestWorkerModes:
    def test_duties_follow_the_modes(self) -> None:
        duties = {mode: (mode.executes, mode.coordinates, mode.rescues) for mode in WorkerMode}

        assert duties == {
            WorkerMode.FULL: (True, True, True),
            WorkerMode.COORDINATOR: (False, True, True),
            WorkerMode.EXECUTION: (True, False, False),
            WorkerMode.DRAIN: (False, False, True),
        }
