"""Enum members as message data names them, and how their classes are found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, cast

from attrs import frozen

from jobmaster._text.showing import named, shown


@frozen
class EnumMember:
    """A stored enum member: its class may have another name here, or not be loaded."""

    path: str
    """Module and qualified name of the class, as its sender knew it."""
    name: str
    """The member's name."""

    @classmethod
    def of(cls, member: Enum) -> EnumMember:
        """Return the stored form of a member that has its own name."""
        kind = type(member)
        return cls(f"{kind.__module__}:{kind.__qualname__}", member.name)


class LoadedEnums:
    """The enum classes that this process has loaded, by module and qualified name.

    Data names a class, and every user who can schedule a job writes data. So a name is only compared with the names of
    loaded classes: nothing is imported, and no attribute of a module or an object is read, as that may run code (a lazy
    import, a property, a `__getattr__`).
    """

    __slots__ = ("_by_path",)

    def __init__(self) -> None:
        self._by_path: dict[str, type[Enum]] | None = None

    def member(self, stored: EnumMember, name: str) -> Enum:
        """Return a stored member of the value `name`; raises `LookupError` if no loaded class has it."""
        if self._by_path is None:  # anew for each value: a class may be defined again, as in a notebook
            self._by_path = {_path_of(one): one for one in _classes_under(Enum)}
        found = self._by_path.get(stored.path)
        members = _own(found).get("_member_map_", {}) if found else {}
        if stored.name not in members:
            member = f"{named(stored.path)}.{named(stored.name)}"
            msg = f"value {shown(name)} is {member}; import its module, or use get_enum({shown(name)}, …)"
            raise LookupError(msg)
        return cast("Enum", members[stored.name])


def _classes_under(kind: type[Enum]) -> Iterator[type[Enum]]:
    for one in type.__subclasses__(kind):
        yield one
        yield from _classes_under(one)


def _path_of(kind: type[Enum]) -> str:
    return f"{_own(kind).get('__module__')}:{type.__getattribute__(kind, '__qualname__')}"


def _own(kind: type) -> Mapping[str, Any]:
    """Return the attributes of a class, bypassing its metaclass."""
    return cast("Mapping[str, Any]", type.__getattribute__(kind, "__dict__"))
