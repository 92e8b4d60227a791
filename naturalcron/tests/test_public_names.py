"""The public names: documented, typed, exported on purpose, and in the reference page."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest

import naturalcron
from naturalcron import ErrorCode, NaturalCronError, builder, errors
from naturalcron.words import WORDS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "naturalcron.md"


def exported(module: ModuleType) -> list[str]:
    imports = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ImportFrom)]
    return [alias.asname for node in imports for alias in node.names if alias.asname == alias.name]


NAMES = exported(naturalcron)
CLASSES = [name for name in NAMES if inspect.isclass(getattr(naturalcron, name))]


def test_only_names_that_are_exported_on_purpose_are_there() -> None:
    there = {name for name, value in vars(naturalcron).items() if not isinstance(value, ModuleType)}

    assert {name for name in there if not name.startswith("__")} == set(NAMES)


def test_the_package_says_that_it_is_typed() -> None:
    assert files("naturalcron").joinpath("py.typed").is_file()


def members(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    for base in kind.__mro__[:-1]:
        if not base.__module__.startswith("naturalcron"):
            continue
        for name, raw in vars(base).items():
            function = raw.fget if isinstance(raw, property) else raw
            if not name.startswith("_") and inspect.isfunction(function):
                yield name, function


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented_and_typed(name: str) -> None:
    value = getattr(naturalcron, name)
    assert value.__doc__
    functions = list(members(value)) if inspect.isclass(value) else [(name, value)]
    for member, function in functions:
        assert function.__doc__, f"{name}.{member} has no docstring"
        assert "return" in get_type_hints(function), f"{name}.{member} has no types"


@pytest.mark.parametrize("stage", ["StartStage", "UnitStage", "CountedUnitStage", "AnchorStage"])
def test_every_call_of_the_builder_is_documented_and_typed(stage: str) -> None:
    for member, function in members(getattr(builder, stage)):
        assert function.__doc__, f"{stage}.{member} has no docstring"
        assert "return" in get_type_hints(function), f"{stage}.{member} has no types"


@pytest.mark.parametrize("name", [name for name in CLASSES if name.endswith("Error")])
def test_every_error_is_in_the_tree_of_the_errors_docstring(name: str) -> None:
    assert issubclass(getattr(naturalcron, name), NaturalCronError)
    assert f"─ {name} " in (errors.__doc__ or "") or name == "NaturalCronError"


# The reference page


def section(heading: str) -> str:
    text = REFERENCE.read_text(encoding="utf-8")
    return re.split(r"^## ", text.split(f"\n## {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_public_names_are_in_the_reference() -> None:
    assert sorted(re.findall(r"^\| `(\w+)", section("Public names"), re.MULTILINE)) == sorted(NAMES)


def test_error_codes_are_in_the_reference() -> None:
    assert re.findall(r"^\| `(\w+)`", section("Error codes"), re.MULTILINE) == [
        code.value for code in ErrorCode
    ]


def test_all_words_are_in_the_reference() -> None:
    words = {word.lower() for word in re.findall(r"`([^`]+)`", section("Words"))}
    nth = re.compile(
        r"(first|second|third|fourth|fifth|last|1st|2nd|3rd|4th|5th)(sun|mon|tue|wed|thu|fri|sat)\w*"
    )
    listed = {word for word in WORDS if not nth.fullmatch(word)}

    assert listed - words == set()


@pytest.mark.parametrize("stage", ["StartStage", "UnitStage", "CountedUnitStage", "AnchorStage"])
def test_calls_of_the_builder_are_in_the_reference(stage: str) -> None:
    text = section("Builder")
    missing = [name for name, _ in members(getattr(builder, stage)) if not re.search(rf"\b{name}\b", text)]

    assert missing == []
