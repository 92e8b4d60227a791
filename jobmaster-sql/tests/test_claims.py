"""How far an owner has read: the bound on record after each page, and where the next page begins."""

from uuid import UUID

import pytest

from jobmaster.clock import from_micros
from jobmaster.models import Cursor, Position
from jobmaster_sql.claims import (
    MIN_PLACE,
    OVERLAP,
    Bound,
    Place,
    bound_after,
    bound_of,
    cursor_after,
    start_of,
)
from jobmaster_sql.rows import MAX_UUID

ID, OTHER = UUID(int=1), UUID(int=2)
NOW = 1_000_000_000
EARLY: Place = (NOW - 10 * OVERLAP, ID)
LATE: Place = (NOW - 1, ID)

FRESH, UNBOUNDED = Bound(fresh=True), Bound()


def cursor_at(place: Place, *, bounded: bool = False) -> Cursor:
    return Cursor(Position(from_micros(place[0]), place[1]), bounded=bounded)


@pytest.mark.parametrize(
    ("columns", "bound"), [((0, None), FRESH), ((None, None), UNBOUNDED), ((7, ID), Bound((7, ID)))]
)
def test_what_the_columns_say(columns: tuple[int | None, UUID | None], bound: Bound) -> None:
    assert bound_of(*columns) == bound


@pytest.mark.parametrize("stored", [FRESH, UNBOUNDED, Bound(EARLY)])
def test_who_has_read_everything_is_unbounded(stored: Bound) -> None:
    assert bound_after(stored, Cursor(), None, NOW) == UNBOUNDED


def test_the_first_page_of_a_backlog_is_a_sharp_bound() -> None:
    assert bound_after(FRESH, Cursor(), EARLY, NOW) == Bound(EARLY)


def test_the_next_page_moves_the_bound_on() -> None:
    assert bound_after(Bound(EARLY), cursor_at(EARLY, bounded=True), LATE, NOW) == Bound(LATE)


def test_a_bound_never_moves_back() -> None:
    assert bound_after(Bound(LATE), Cursor(bounded=True), EARLY, NOW) == Bound(LATE)


def test_a_backlog_behind_a_trickle_keeps_what_was_read_within_the_overlap() -> None:
    after: Place = (NOW - 5 * OVERLAP, ID)
    soon: Place = (after[0] + 1, ID)

    assert bound_after(UNBOUNDED, cursor_at(after), soon, NOW) == Bound((after[0] + OVERLAP, MAX_UUID))
    assert bound_after(UNBOUNDED, cursor_at(after), LATE, NOW) == Bound(LATE)


def test_a_new_start_without_a_bound_can_have_anything_in_hand() -> None:
    assert bound_after(UNBOUNDED, Cursor(), EARLY, NOW) == Bound((NOW, MAX_UUID))


def test_a_page_begins_where_the_cursor_says() -> None:
    assert start_of(Cursor()) == MIN_PLACE
    assert start_of(cursor_at(LATE)) == LATE


def test_a_backlog_is_read_without_gaps_or_repetition() -> None:
    assert cursor_after(LATE, NOW, more=True) == cursor_at(LATE, bounded=True)


@pytest.mark.parametrize("last", [LATE, EARLY, None])
def test_at_the_end_the_owner_goes_back_by_the_overlap(last: Place | None) -> None:
    assert cursor_after(last, NOW, more=False) == cursor_at((NOW - OVERLAP, MAX_UUID))


def test_places_sort_as_the_database_sorts_them() -> None:
    assert sorted([(2, ID), (1, MAX_UUID), (1, OTHER), (1, ID)]) == [
        (1, ID),
        (1, OTHER),
        (1, MAX_UUID),
        (2, ID),
    ]
