"""Units of work on a driver made of a dictionary."""

import pytest

from jobmaster_sql import Answer, Query, Unit, perform
from jobmaster_sql.units import Step

TABLES = {"one": [(1,)], "two": [(1,), (2,)]}


def execute(step: Step) -> Answer:
    assert isinstance(step, Query)
    rows = TABLES[step.name]
    return Answer(rows, len(rows))


def test_a_step_gets_an_answer_and_several_get_a_list() -> None:
    def unit() -> Unit[list[int]]:
        one: Answer = yield Query("one")
        both: list[Answer] = yield Query("one"), Query("two")
        return [one.touched, *(answer.touched for answer in both)]

    assert perform(unit(), execute) == [1, 1, 2]


def test_a_unit_may_need_no_step() -> None:
    def unit() -> Unit[str]:
        yield from ()
        return "done"

    assert perform(unit(), execute) == "done"


def test_an_error_ends_the_unit() -> None:
    ended = []

    def unit() -> Unit[None]:
        try:
            yield Query("no such table")
        finally:
            ended.append(True)

    with pytest.raises(KeyError):
        perform(unit(), execute)
    assert ended == [True]


def test_an_error_of_the_unit_comes_out() -> None:
    def unit() -> Unit[None]:
        yield Query("one")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        perform(unit(), execute)
