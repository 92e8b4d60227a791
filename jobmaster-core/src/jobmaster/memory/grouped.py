"""A dictionary whose values can also be found by their group, without looking at all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
G = TypeVar("G")


class Grouped(dict[K, V], Generic[K, G, V]):
    """Values by key, and by the group that `group_of` returns for a key and its value.

    Entries are added by assignment and removed by `del` and `pop`; code that changes what a value's group depends on
    calls `regroup`.
    """

    def __init__(self, group_of: Callable[[K, V], G]) -> None:
        """Start empty."""
        super().__init__()
        self._group_of = group_of
        self._groups: dict[G, dict[K, V]] = {}

    @property
    def groups(self) -> Mapping[G, Mapping[K, V]]:
        """The groups that have entries."""
        return self._groups

    def among(self, group: G) -> Collection[V]:
        """Return the values in a group, in the order in which they joined it."""
        return self._groups.get(group, {}).values()

    def __setitem__(self, key: K, value: V) -> None:
        if key in self:
            self._leave(self._group_of(key, self[key]), key)
        super().__setitem__(key, value)
        self._groups.setdefault(self._group_of(key, value), {})[key] = value

    def __delitem__(self, key: K) -> None:
        self._leave(self._group_of(key, self[key]), key)
        super().__delitem__(key)

    def pop(self, key: K, *default: Any) -> Any:
        """Remove an entry and return its value."""
        if key in self:
            self._leave(self._group_of(key, self[key]), key)
        return super().pop(key, *default)

    def regroup(self, key: K, before: G, after: G) -> None:
        """Move an entry to another group."""
        value = self[key]
        self._leave(before, key)
        self._groups.setdefault(after, {})[key] = value

    def _leave(self, group: G, key: K) -> None:
        members = self._groups[group]
        del members[key]
        if not members:
            del self._groups[group]
