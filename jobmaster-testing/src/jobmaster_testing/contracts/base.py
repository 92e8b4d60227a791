"""What all parts of the suite share: the two event loops, and the guard against missing tests."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import getattr_static
from typing import Any, ClassVar

import pytest


class Contract:
    """Base of every part of the suite.

    A part is declared with `class Part(Contract, suite=True)`. Any other subclass is a provider's: it supplies fixtures, and
    must not remove, replace or disable a test. Where a provider is known to be wrong, it may mark a test with
    `@pytest.mark.xfail(reason=...)` until it is fixed.
    """

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.anyio]
    suite_tests: ClassVar[Mapping[str, object]] = {}

    def __init_subclass__(cls, *, suite: bool = False, **kwargs: Any) -> None:
        """Record a part's list of tests, or check a provider against it."""
        super().__init_subclass__(**kwargs)
        if suite:
            _check_names(cls)
            cls.suite_tests = {name: getattr_static(cls, name) for name in dir(cls) if _is_protected(name)}
            return
        problems = list(missing_tests(cls))
        if problems:
            raise TypeError(
                f"{cls.__name__} is not a valid contract test of a provider: {'; '.join(problems)}"
            )

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        """Return the event loop's name: every test runs under both event loops."""
        backend: str = request.param
        return backend

    def test_no_test_of_the_suite_is_missing(self) -> None:
        """Tests that were removed after the class was created are found here."""
        assert not list(missing_tests(type(self)))


def missing_tests(cls: type[Contract]) -> Iterator[str]:
    """Yield a sentence for each test of the suite that `cls` lost or replaced."""
    for name, original in _required(cls).items():
        present = getattr_static(cls, name, None)
        if present is None:
            yield f"{name} was removed"
        elif present is not original and not _is_known_defect(present):
            yield f"{name} was overridden (only one marked xfail(reason=...) may be)"


def _check_names(cls: type[Contract]) -> None:
    """Refuse two parts with a test of the same name: one test would silently hide the other."""
    parts = [base.suite_tests for base in cls.__bases__ if issubclass(base, Contract)]
    for name, test in ((name, test) for part in parts for name, test in part.items()):
        if getattr_static(cls, name) is not test:
            raise TypeError(f"{cls.__name__} has two tests named {name}")


def _required(cls: type[Contract]) -> Mapping[str, object]:
    parts = [vars(base).get("suite_tests", {}) for base in reversed(cls.__mro__)]
    return {name: test for part in parts for name, test in part.items()}


def _is_protected(name: str) -> bool:
    return name.startswith("test_") or name == "anyio_backend"


def _is_known_defect(test: object) -> bool:
    marks = getattr(test, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)


def needs(capability: bool, name: str) -> None:
    """Skip the rest of a test if the provider declares that it lacks the capability."""
    if not capability:
        pytest.skip(f"the provider declares no capability {name!r}")
