"""Ids and their texts are remembered both ways, and not without bound."""

from uuid import UUID

from jobmaster.ids import new_id
from jobmaster_sqlite.idtexts import IdTexts


def test_an_id_is_its_text_and_the_text_is_the_id() -> None:
    ids, value = IdTexts(), new_id()

    assert ids.text_of(value) == str(value)
    assert ids.uuid_of(str(value)) is value


def test_what_was_read_is_not_made_again() -> None:
    ids, text = IdTexts(), str(new_id())

    assert ids.text_of(ids.uuid_of(text)) is text
    assert ids.uuid_of(text) is ids.uuid_of(text)


def test_no_id_is_wrong_after_many_were_forgotten() -> None:
    ids = IdTexts(most=10)
    values = [new_id() for _ in range(35)]

    assert [ids.text_of(value) for value in values * 2] == [str(value) for value in values * 2]
    assert [ids.uuid_of(str(value)) for value in values] == values
    assert len(ids._texts) <= 10


def test_zero_is_an_id_too() -> None:
    ids = IdTexts()

    assert ids.uuid_of(ids.text_of(UUID(int=0))) == UUID(int=0)


def test_a_text_that_is_no_id_stands_for_one_that_nothing_has() -> None:
    ids = IdTexts()

    assert ids.uuid_of("no id") == ids.uuid_of("no id") != ids.uuid_of("nor this")
