"""How far an owner has read: the bound on record after each page, and where the next page begins."""

import itertools
from uuid import UUID

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from jobmaster.clock import from_micros
from jobmaster.models import Cursor, Position
from jobmaster_sql.bounds import (
    ALLOWANCE,
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
UNTIL_EARLY, UNTIL_NOW = Bound((EARLY[0], MAX_UUID)), Bound((NOW, MAX_UUID))


def cursor_at(place: Place, *, bounded: bool = False) -> Cursor:
    return Cursor(Position(from_micros(place[0]), place[1]), bounded=bounded)


@pytest.mark.parametrize(
    ("columns", "bound"), [((0, None), FRESH), ((None, None), UNBOUNDED), ((7, ID), Bound((7, ID)))]
)
def test_what_the_columns_say(columns: tuple[int | None, UUID | None], bound: Bound) -> None:
    assert bound_of(*columns) == bound


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("stored", [FRESH, UNBOUNDED, Bound(EARLY), UNTIL_NOW])
def test_a_look_that_finds_nothing_changes_nothing(stored: Bound, *, more: bool) -> None:
    assert bound_after(stored, Cursor(), None, NOW, more=more) == stored


@pytest.mark.parametrize("stored", [FRESH, UNBOUNDED, Bound(EARLY), UNTIL_EARLY])
def test_who_keeps_up_may_read_on_for_a_moment(stored: Bound) -> None:
    assert bound_after(stored, Cursor(), LATE, NOW, more=False) == Bound((NOW + ALLOWANCE, MAX_UUID))


@pytest.mark.parametrize("stored", [UNTIL_NOW, Bound(LATE)])
def test_what_is_within_the_bound_needs_no_new_one(stored: Bound) -> None:
    assert bound_after(stored, Cursor(), LATE, NOW, more=False) == stored


def test_the_first_page_of_a_backlog_is_a_sharp_bound() -> None:
    assert bound_after(FRESH, Cursor(), EARLY, NOW, more=True) == Bound(EARLY)


def test_the_next_page_moves_the_bound_on() -> None:
    after = cursor_at(EARLY, bounded=True)
    assert bound_after(Bound(EARLY), after, LATE, NOW, more=True) == Bound(LATE)


def test_a_bound_never_moves_back() -> None:
    assert bound_after(Bound(LATE), Cursor(bounded=True), EARLY, NOW, more=True) == Bound(LATE)
    assert bound_after(UNTIL_NOW, Cursor(bounded=True), EARLY, NOW, more=True) == UNTIL_NOW


@pytest.mark.parametrize("stored", [UNBOUNDED, Bound((NOW + ALLOWANCE, MAX_UUID))])
def test_a_backlog_behind_a_trickle_keeps_what_was_read_within_the_overlap(stored: Bound) -> None:
    after: Place = (NOW - 5 * OVERLAP, ID)
    soon: Place = (after[0] + 1, ID)
    read_to: Place = (after[0] + OVERLAP, MAX_UUID)

    assert bound_after(stored, cursor_at(after), soon, NOW, more=True) == Bound(read_to)
    assert bound_after(stored, cursor_at(after), LATE, NOW, more=True) == Bound(LATE)


@pytest.mark.parametrize("stored", [UNBOUNDED, Bound((NOW + ALLOWANCE, MAX_UUID))])
def test_a_new_start_of_who_kept_up_can_have_all_that_was_due_in_hand(stored: Bound) -> None:
    assert bound_after(stored, Cursor(), EARLY, NOW, more=True) == UNTIL_NOW


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


# All of it together

STEP = ALLOWANCE // 4
moves = st.lists(
    st.tuples(
        st.sampled_from(["add", "add late", "read", "read", "start over", "finish", "wait"]),
        st.integers(1, 12),
    ),
    max_size=80,
)


@define
class Owner:
    """A bucket on paper: jobs come, some late, and its owner reads on, starts over, and ends jobs."""

    now: int = NOW
    waiting: set[Place] = field(factory=set)
    in_hand: set[Place] = field(factory=set)
    read_at: int = 0
    bound: Bound = FRESH
    cursor: Cursor = field(factory=Cursor)
    written_at: list[int] = field(factory=list)
    _made: int = 0

    def move(self, kind: str, number: int) -> None:
        match kind:
            case "add" | "add late":
                self._add(number, OVERLAP // 2 if kind == "add late" else 0)
            case "read":
                self._read(limit=number)
            case "start over":
                self.cursor = Cursor(bounded=self.cursor.bounded)
            case "finish":
                self.in_hand -= set(sorted(self.in_hand)[:number])
            case _:
                self.now += number * STEP

    def _add(self, number: int, late: int) -> None:
        for _ in range(number):
            self._made += 1
            self.waiting.add((self.now - late, UUID(int=self._made)))

    def _read(self, limit: int) -> None:
        """Read as `BucketReader` does: also again what is in hand."""
        due = sorted(
            p for p in self.waiting | self.in_hand if start_of(self.cursor) < p <= (self.now, MAX_UUID)
        )
        page, more = due[:limit], len(due) > limit
        last = page[-1] if page else None
        bound = bound_after(self.bound, self.cursor, last, self.now, more=more)
        if bound != self.bound and not more:
            self.written_at.append(self.now)
        self.bound, self.cursor = bound, cursor_after(last, self.now, more=more)
        if fresh := set(page) - self.in_hand:
            self.read_at, self.waiting, self.in_hand = self.now, self.waiting - fresh, self.in_hand | fresh


@given(moves)
def test_all_that_is_in_hand_is_within_the_bound_and_nothing_that_came_after_the_last_read_by_a_moment(
    steps: list[tuple[str, int]],
) -> None:
    owner = Owner()
    for step in steps:
        owner.move(*step)
        assert all(owner.bound.covers(place) for place in owner.in_hand)
        assert owner.bound.fresh or not owner.bound.covers((owner.read_at + ALLOWANCE + 1, ID))


@given(st.lists(st.integers(1, ALLOWANCE // 3), max_size=40))
def test_who_keeps_up_with_jobs_that_trickle_in_writes_once_in_a_while(gaps: list[int]) -> None:
    owner = Owner()
    for gap in gaps:
        owner.now += gap
        owner.move("add", 1)
        owner.move("read", 100)
        owner.move("finish", 1)
    between = [later - earlier for earlier, later in itertools.pairwise(owner.written_at)]
    assert all(gap > ALLOWANCE for gap in between)
