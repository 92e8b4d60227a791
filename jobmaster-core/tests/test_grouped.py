"""Entries found by their group are those that a look at all of them would find."""

from hypothesis import given
from hypothesis import strategies as st

from jobmaster.memory.grouped import Grouped

KEYS = st.integers(0, 6)
GROUPS = st.sampled_from("abc")
STEPS = st.lists(st.tuples(st.sampled_from(["set", "pop", "delete", "regroup"]), KEYS, GROUPS), max_size=40)


def apply(found: Grouped[int, str, list[str]], step: tuple[str, int, str]) -> None:
    """Do one thing; values are lists whose only element is their group."""
    what, key, group = step
    if what == "set":
        found[key] = [group]
    elif what == "pop":
        found.pop(key, None)
    elif what == "delete" and key in found:
        del found[key]
    elif what == "regroup" and key in found:
        found.regroup(key, found[key][0], group)
        found[key][0] = group


@given(STEPS)
def test_groups_hold_what_a_look_at_all_would_find(steps: list[tuple[str, int, str]]) -> None:
    found: Grouped[int, str, list[str]] = Grouped(lambda _, value: value[0])
    for step in steps:
        apply(found, step)

    for group in "abc":
        assert sorted(map(id, found.among(group))) == sorted(id(v) for v in found.values() if v == [group])
    assert found.groups.keys() == {value[0] for value in found.values()}
    assert sum(len(members) for members in found.groups.values()) == len(found)
