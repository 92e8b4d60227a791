"""The suite refuses to pass for a provider that takes a test away."""

from typing import Any

import pytest

from jobmaster_testing.contracts.base import Contract, missing_tests


class Part(Contract, suite=True):
    async def test_first(self) -> None: ...

    async def test_second(self) -> None: ...


class OtherPart(Contract, suite=True):
    async def test_third(self) -> None: ...


class Whole(Part, OtherPart, suite=True):
    pass


def provider(*bases: type[Contract], **members: Any) -> type[Contract]:
    made: type[Contract] = type("TestProvider", bases, members)
    return made


def test_a_provider_may_add_fixtures_and_tests() -> None:
    @pytest.fixture
    def store_url(self: Any) -> str:
        return str(self)

    made = provider(Whole, store_url=store_url, test_more=lambda _: None)

    assert list(missing_tests(made)) == []


def test_all_parts_of_a_whole_are_required() -> None:
    assert {name for name in Whole.suite_tests if name.startswith("test_")} == {
        "test_first",
        "test_second",
        "test_third",
        "test_no_test_of_the_suite_is_missing",
    }


def test_an_overridden_test_is_refused() -> None:
    async def test_third(self: Any) -> None: ...

    with pytest.raises(TypeError, match=r"TestProvider.*test_third was overridden"):
        provider(Whole, test_third=test_third)


@pytest.mark.parametrize("replacement", [None, 1])
def test_a_test_set_to_nothing_is_refused(replacement: object) -> None:
    with pytest.raises(TypeError, match="test_first"):
        provider(Whole, test_first=replacement)


def test_a_test_hidden_by_a_mixin_is_refused() -> None:
    class Mixin:
        async def test_second(self) -> None: ...

    with pytest.raises(TypeError, match="test_second was overridden"):
        type("TestProvider", (Mixin, Whole), {})


def test_the_event_loops_cannot_be_chosen() -> None:
    with pytest.raises(TypeError, match="anyio_backend was overridden"):
        provider(Whole, anyio_backend="asyncio")


def test_the_guard_itself_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match="test_no_test_of_the_suite_is_missing"):
        provider(Whole, test_no_test_of_the_suite_is_missing=lambda _: None)


def test_a_known_defect_may_be_marked_with_its_reason() -> None:
    @pytest.mark.xfail(reason="the server has no clock")
    async def test_first(self: Any) -> None: ...

    assert list(missing_tests(provider(Whole, test_first=test_first))) == []


def test_a_known_defect_needs_a_reason() -> None:
    @pytest.mark.xfail
    async def test_first(self: Any) -> None: ...

    with pytest.raises(TypeError, match="test_first was overridden"):
        provider(Whole, test_first=test_first)


def test_a_skipped_test_is_refused() -> None:
    @pytest.mark.skip(reason="no time")
    async def test_first(self: Any) -> None: ...

    with pytest.raises(TypeError, match="test_first was overridden"):
        provider(Whole, test_first=test_first)


def test_a_test_taken_away_later_is_noticed() -> None:
    made = provider(Whole)
    made.test_second = None  # type: ignore[attr-defined]

    assert list(missing_tests(made)) == ["test_second was removed"]
    with pytest.raises(AssertionError, match="test_second was removed"):
        made().test_no_test_of_the_suite_is_missing()


def test_a_test_taken_away_from_the_suite_is_noticed() -> None:
    class Shrinking(Contract, suite=True):
        async def test_gone(self) -> None: ...

    made = provider(Shrinking)
    del Shrinking.test_gone

    assert list(missing_tests(made)) == ["test_gone was removed"]


def test_parts_must_not_hide_tests_of_one_another() -> None:
    class Same(Contract, suite=True):
        async def test_first(self) -> None: ...

    with pytest.raises(TypeError, match="Both has two tests named test_first"):

        class Both(Part, Same, suite=True):
            pass
