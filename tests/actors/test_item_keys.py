"""Keys of items are text that tells them apart, or an error that names the mend."""

import enum
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from callboard.actors.item_keys import LONGEST_KEY, check_loop, key_of, repeated
from callboard.messages.errors import InvalidItems


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not its text"


class Colour(str, enum.Enum):  # noqa: UP042 - its text is not its value, unlike that of a StrEnum
    RED = "red"


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        ("A-1", None, "A-1"),
        (7, None, "7"),
        (-7, None, "-7"),
        (10**30, None, str(10**30)),
        (UUID(int=1), None, "00000000-0000-0000-0000-000000000001"),
        ({"id": 9}, lambda value: value["id"], "9"),
        ("Ä " * 10, None, "Ä " * 10),
        (Text("own"), None, "own"),
        (Colour.RED, None, "red"),
        ("k" * LONGEST_KEY, None, "k" * LONGEST_KEY),
    ],
)
def test_text_whole_numbers_and_uuids_are_keys(
    value: object, key: Callable[[Any], object] | None, expected: str
) -> None:
    made = key_of(value, key, 0)
    assert made == expected
    assert type(made) is str


@pytest.mark.parametrize(
    ("value", "key", "told"),
    [
        ({"id": 9}, None, r"item 4 is a dict, which is no key: say .* key=lambda sku: sku.id"),
        (None, None, "item 4 is a NoneType"),
        (True, None, "item 4 is a bool"),
        (1.5, None, "item 4 is a float"),
        (b"A-1", None, "item 4 is a bytes"),
        ({"id": None}, lambda value: value["id"], "the key of item 4 is a NoneType: let key= answer text"),
        ("", None, "the key of item 4 is empty"),
        ("k" * (LONGEST_KEY + 1), None, "has 256 bytes, 1 too many: .* a shorter one"),
        ("ä" * 128, None, "has 256 bytes"),
        ("\ud800", None, "half of a surrogate pair"),
    ],
)
def test_what_is_no_key_is_an_error_that_names_the_mend(
    value: object, key: Callable[[Any], object] | None, told: str
) -> None:
    with pytest.raises(InvalidItems, match=told):
        key_of(value, key, 4)


def test_an_error_of_the_key_function_is_its_own() -> None:
    nothing: dict[str, str] = {}
    with pytest.raises(KeyError):
        key_of(nothing, lambda value: value["id"], 0)


def test_a_repeated_key_is_told_with_its_place() -> None:
    assert str(repeated("A-1", 3, "")) == (
        "item 3 has the key of an earlier one ('A-1'): let key= answer what tells them apart, or leave "
        "repeated ones out"
    )
    assert "item 3 of the loop 'prices' has" in str(repeated("A-1", 3, "prices"))


@pytest.mark.parametrize("name", ["", "prices", "a.b-c_9", "x" * 100])
def test_a_loop_may_have_such_a_name(name: str) -> None:
    assert check_loop(name) == name


@pytest.mark.parametrize("name", ["a:b", "9", "a b", "x" * 101, "\n"])
def test_a_loop_may_not_have_such_a_name(name: str) -> None:
    with pytest.raises(InvalidItems, match="a name begins with a letter"):
        check_loop(name)
