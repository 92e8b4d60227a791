"""Which statement stores rows: there is one for a single row, one for rows that are alike, and one for a mixture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from attrs import frozen

T = TypeVar("T")
S = TypeVar("S")

_FEW: Final = 8
"""Average number of rows of a kind below which a statement for each kind is not worthwhile."""


@frozen
class Forms(Generic[T, S]):
    """The forms of a statement for things of type `T`; `S` is what is sent, with whatever belongs to it.

    `kind` returns the values that things share if one statement can store them with few arrays, or None for a thing
    that only fits into a mixture. `is_like` may tell sooner that a thing is of the same kind as the one before.
    """

    kind: Callable[[T], Hashable | None]
    lone: Callable[[T], S]
    alike: Callable[[Sequence[T]], S]
    mixed: Callable[[Sequence[T]], S]
    is_like: Callable[[T, T], bool] = lambda _, __: False

    def statements(self, things: Sequence[T]) -> list[S]:
        """Return the statements that store things, at least one."""
        if len(things) == 1:
            return [self.lone(things[0])]
        kinds = self._kinds(things)
        if len(kinds) * _FEW > len(things):
            return [self.mixed(things)]
        return [self.mixed(group) if kind is None else self.alike(group) for kind, group in kinds.items()]

    def _kinds(self, things: Iterable[T]) -> dict[Hashable | None, list[T]]:
        kinds: dict[Hashable | None, list[T]] = {}
        before: T | None = None
        group: list[T] = []
        for thing in things:
            if before is None or not self.is_like(thing, before):
                group = kinds.setdefault(self.kind(thing), [])
            group.append(thing)
            before = thing
        return kinds
