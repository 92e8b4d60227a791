"""The rule of sharing by itself: what an `Idleness` finds in what it is told."""

from __future__ import annotations

import pytest

from jobmaster_testing.simulation.idleness import Idleness

PLACE = ("default", 3)
OTHER_LANE, OTHER_PRIORITY = ("other", 3), ("default", 4)


@pytest.fixture
def rule() -> Idleness:
    return Idleness(bound=1.0)


def test_a_slot_that_is_idle_for_too_long_beside_a_waiting_job_is_found_once(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits(("job", 1), PLACE, "Mail", at=5.0)
    rule.look(6.0)
    assert not rule.found

    rule.look(6.1)
    rule.look(9.0)

    [found] = rule.found
    assert "job job#1 (Mail, lane default, priority 3) has waited since 5.00 s" in found
    assert "for 1.10 s a slot of A" in found
    assert rule.longest == pytest.approx(4.0)


@pytest.mark.parametrize("change", ["begins", "gone", "closed"])
def test_what_changes_later_does_not_undo_it(rule: Idleness, change: str) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits(1, PLACE, "Mail", at=0.0)

    {
        "begins": lambda: rule.begins(1, "A", PLACE, at=1.5),
        "gone": lambda: rule.gone(1, at=1.5),
        "closed": lambda: rule.closed("A", at=1.5),
    }[change]()

    assert len(rule.found) == 1


def test_a_job_that_begins_in_time_breaks_nothing_wherever_it_begins(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    for number in range(5):
        rule.waits(number, PLACE, "Mail", at=number)
        rule.begins(number, "somebody else", PLACE, at=number + 0.9)

    assert not rule.found
    assert rule.longest == pytest.approx(0.9)


def test_a_busy_slot_is_not_idle(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 2}, ["Mail"], at=0.0)
    rule.begins("long", "A", PLACE, at=0.0)
    rule.begins("longer", "A", PLACE, at=0.0)
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.ends("A", PLACE, at=10.0)
    rule.look(10.9)
    assert not rule.found

    rule.look(11.1)
    assert len(rule.found) == 1


def test_one_of_several_slots_is_enough(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 2}, ["Mail"], at=0.0)
    rule.begins("long", "A", PLACE, at=0.0)
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.look(1.1)

    assert len(rule.found) == 1


def test_a_job_is_not_to_be_passed_over_again_and_again(rule: Idleness) -> None:
    """Each time the slot is idle for a moment only, and runs what came later."""
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits("old", PLACE, "Mail", at=0.0)
    for number in range(1, 5):
        rule.waits(number, PLACE, "Mail", at=number)
        rule.begins(number, "A", PLACE, at=number + 0.1)
        rule.ends("A", PLACE, at=number + 0.6)

    [found] = rule.found
    assert "job old" in found


def test_what_it_takes_from_one_job_to_the_next_is_allowed_for() -> None:
    rule = Idleness(bound=1.0, gaps=0.15)
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits("last", PLACE, "Mail", at=0.0)
    for number in range(50):
        rule.begins(number, "A", PLACE, at=number + 0.1)
        rule.ends("A", PLACE, at=number + 1.0)
    assert not rule.found, "5 s of 50"

    for number in range(50, 54):
        rule.begins(number, "A", PLACE, at=number + 0.5)
        rule.ends("A", PLACE, at=number + 1.0)
    assert len(rule.found) == 1


def test_after_long_work_a_slot_may_be_idle_for_no_longer_than_ever() -> None:
    rule = Idleness(bound=1.0, gaps=0.15)
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits("next", PLACE, "Mail", at=0.0)
    rule.begins("long", "A", PLACE, at=0.0)
    rule.ends("A", PLACE, at=100.0)
    rule.look(101.2)
    assert not rule.found

    rule.look(101.3)
    assert len(rule.found) == 1


@pytest.mark.parametrize(
    ("places", "knows"),
    [
        ({OTHER_LANE: 1}, ["Mail"]),
        ({OTHER_PRIORITY: 1}, ["Mail"]),
        ({PLACE: 1}, ["Report"]),
        ({PLACE: 0}, ["Mail"]),
        ({}, ["Mail"]),
    ],
    ids=["another lane", "another priority", "another handler", "no slot", "no place"],
)
def test_a_slot_that_may_not_run_a_job_may_be_idle(
    rule: Idleness, places: dict[tuple[str, int], int], knows: list[str]
) -> None:
    rule.opened("A", places, knows, at=0.0)
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.look(100.0)

    assert not rule.found


def test_who_joins_is_idle_from_then_on(rule: Idleness) -> None:
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.opened("late", {PLACE: 1}, ["Mail"], at=50.0)
    rule.look(50.9)
    assert not rule.found

    rule.look(51.1)
    assert len(rule.found) == 1


def test_who_leaves_is_idle_no_more(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.closed("A", at=0.9)
    rule.look(100.0)

    assert not rule.found


def test_the_slots_of_two_workers_are_not_added_up(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.opened("B", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.begins("other", "A", PLACE, at=0.6)
    rule.begins("another", "B", PLACE, at=0.9)
    rule.look(100.0)

    assert not rule.found


def test_what_was_idle_before_a_job_waits_does_not_count(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.look(100.0)
    rule.waits(1, PLACE, "Mail", at=100.0)
    rule.begins(1, "A", PLACE, at=100.5)

    assert not rule.found


def test_to_say_again_that_a_job_waits_changes_nothing(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    for moment in (0.0, 0.5, 1.0, 1.5):
        rule.waits(1, PLACE, "Mail", at=moment)
        rule.look(moment)

    assert len(rule.found) == 1
    assert rule.waiting() == {1}


def test_after_what_has_to_be_got_over_all_counts_anew(rule: Idleness) -> None:
    rule.opened("A", {PLACE: 1}, ["Mail"], at=0.0)
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.counts_from(3.0, at=0.8)
    rule.waits(2, PLACE, "Mail", at=2.0)
    rule.opened("B", {PLACE: 1}, ["Mail"], at=2.5)
    rule.look(3.9)
    assert not rule.found

    rule.look(4.1)
    assert len(rule.found) == 2


def test_of_several_moments_from_which_it_counts_the_last_one_holds(rule: Idleness) -> None:
    rule.waits(1, PLACE, "Mail", at=0.0)
    rule.counts_from(3.0, at=0.0)
    rule.counts_from(1.0, at=1.0)
    rule.opened("A", {PLACE: 1}, ["Mail"], at=1.5)
    rule.look(3.9)
    assert not rule.found

    rule.look(4.1)
    assert len(rule.found) == 1
