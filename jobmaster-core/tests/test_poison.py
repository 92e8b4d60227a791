"""After a crash every job is a suspect, but only the guilty one is poison."""

from hypothesis import given
from hypothesis import strategies as st

from jobmaster._policy.poison import CRASHES_UNTIL_POISON, Blame, after_crash

crashes = st.lists(st.booleans(), max_size=20)
"""For each crash of the worker that had the job: whether the job's start was on record."""


def blames(recorded: list[bool]) -> list[Blame]:
    """Return what the job carries after each of several crashes in a row."""
    blame, found = Blame(0, suspect=False), []
    for start_recorded in recorded:
        blame = after_crash(blame.crashes, suspect=blame.suspect, start_recorded=start_recorded)
        found.append(blame)
    return found


@given(crashes)
def test_a_job_is_held_to_account_for_what_is_on_record(recorded: list[bool]) -> None:
    found = blames(recorded)

    expected = 0
    for number, blame in enumerate(found):
        if recorded[number]:
            first = expected == 0
            expected += 2 if first and number > 0 else 1
        assert blame == Blame(expected, suspect=True)
        assert blame.crashes <= number + 1


@given(st.integers(1, 50))
def test_a_bystander_is_never_poison(number: int) -> None:
    assert not any(blame.poisoned for blame in blames([False] * number))


def test_the_guilty_job_fails_at_the_third_crash() -> None:
    assert [blame.poisoned for blame in blames([False, True, True])] == [False, False, True]
    assert [blame.poisoned for blame in blames([True, True, True])] == [False, False, True]


def test_one_crash_is_never_enough() -> None:
    for recorded in (False, True):
        for suspect in (False, True):
            assert not after_crash(0, suspect=suspect, start_recorded=recorded).poisoned


@given(crashes)
def test_guilt_is_never_forgotten(recorded: list[bool]) -> None:
    counts = [blame.crashes for blame in blames(recorded)]

    assert counts == sorted(counts)


@given(st.integers(0, 10), st.booleans())
def test_a_job_that_ran_well_in_between_starts_without_suspicion(crashes: int, recorded: bool) -> None:
    """Its counted crashes stay; the crash that made it a suspect is not counted."""
    blame = after_crash(crashes, suspect=False, start_recorded=recorded)

    assert blame == Blame(crashes + recorded, suspect=True)


def test_three_is_the_limit() -> None:
    assert CRASHES_UNTIL_POISON == 3
    assert [Blame(n, suspect=True).poisoned for n in range(5)] == [False, False, False, True, True]
