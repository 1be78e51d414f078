"""Where the sensitive values of a contract stand, and that what is shown of a body shows none of them."""

from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, NewType, Optional, TypedDict, TypeVar

import msgspec
import pytest

from callboard.messages.codec import decode_envelope, encode
from callboard.messages.conceal import concealed, secrets_of, shown_body, without_credentials
from callboard.messages.errors import InvalidContract
from callboard.messages.event import Event, EventMeta
from callboard.messages.sensitive import MASK, Sensitive, masked, sensitive_paths, values_at

Secret = Annotated[str, Sensitive]
T = TypeVar("T")


class Address(msgspec.Struct):
    street: Secret
    city: str


new_type: Any = NewType
Home = new_type("Home", Address)


class Wrapped(msgspec.Struct, Generic[T]):
    items: list[T]


class Node(msgspec.Struct):
    note: Secret
    below: "list[Node]" = []


class Even(msgspec.Struct):
    odd: "Odd | None" = None


class Odd(msgspec.Struct):
    word: Secret
    even: Even | None = None


class Plain(msgspec.Struct):
    below: "list[Plain]" = []


class Pair(NamedTuple):
    open: str
    hidden: Secret


class Row(msgspec.Struct, array_like=True):
    open: str
    hidden: Secret


class Card(TypedDict):
    number: Secret


@dataclass
class Person:
    name: str
    born: Annotated[int, Sensitive()]


KINDS: list[tuple[Any, tuple[str, ...]]] = [
    (str, ()),
    (Secret, ("/field",)),
    (Optional[Secret], ("/field",)),  # noqa: UP045 - a type checker knows no `|` of what is annotated
    (Annotated[Secret, msgspec.Meta(min_length=1)], ("/field",)),
    (Home, ("/field/street",)),
    (list[Secret], ("/field/*",)),
    (tuple[str, Secret], ("/field/*",)),
    (dict[str, Secret], ("/field/*",)),
    (dict[Secret, int], ("/field",)),
    (Address, ("/field/street",)),
    (list[Address] | None, ("/field/*/street",)),
    (dict[str, list[Address]], ("/field/*/*/street",)),
    (Annotated[Address, Sensitive], ("/field",)),
    (Wrapped[Secret], ("/field/items/*",)),
    (Wrapped[Address], ("/field/items/*/street",)),
    (Wrapped[int], ()),
    (Node, ("/field/note", "/field/below/*")),
    (Even, ("/field/odd/word", "/field/odd/even")),
    (Odd, ("/field/word", "/field/even/odd")),
    (Plain, ()),
    (Pair, ("/field/1",)),
    (Row, ("/field/1",)),
    (Card, ("/field/number",)),
    (Person, ("/field/born",)),
]


@pytest.mark.parametrize(("kind", "paths"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_sensitive_values_are_found_wherever_they_are_marked(kind: Any, paths: tuple[str, ...]) -> None:
    contract = msgspec.defstruct("contract", [("field", kind)])
    assert sensitive_paths(contract) == paths


def test_paths_go_by_the_names_on_the_wire() -> None:
    class Renamed(msgspec.Struct, rename={"card_number": "card/№~"}):
        card_number: Secret

    (path,) = sensitive_paths(Renamed)
    assert path == "/card~1№~0"
    assert masked({"card/№~": "4111"}, (path,)) == {"card/№~": MASK}


BODY = {
    "name": "ann",
    "notes": ["one", "two"],
    "who": {"born": 1990, "at": [{"street": "Elm"}, {"street": None}]},
}


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/name", ["ann"]),
        ("/notes", ["one", "two"]),
        ("/notes/*", ["one", "two"]),
        ("/notes/1", ["two"]),
        ("/who/at/*/street", ["Elm"]),
        ("/who", ["born", "at", "street", "street", 1990, "Elm"]),
        ("/missing/*/street", []),
        ("/name/deeper", []),
    ],
)
def test_what_a_path_leads_to_is_masked_and_nothing_else(path: str, where: list[object]) -> None:
    assert sorted(map(str, values_at(BODY, (path,)))) == sorted(map(str, where))
    before = msgspec.json.encode(BODY)
    shown = msgspec.json.encode(masked(BODY, (path,))).decode()
    assert msgspec.json.encode(BODY) == before, "the body itself was changed"
    assert [value for value in where if f'"{value}"' in shown] == []
    assert (shown != before.decode()) == bool(where)


def test_null_is_shown_as_null() -> None:
    assert masked({"at": None}, ("/at",)) == {"at": None}


class SignedUp(Event, name="sensitive.signed-up", key="user_id"):
    user_id: str
    email: Secret
    home: Address | None = None
    pins: list[Annotated[int, Sensitive]] = []


class Open(Event, name="sensitive.open"):
    note: str = ""


def test_an_envelope_says_which_of_its_values_are_sensitive() -> None:
    event = SignedUp("u-1", "ann@example.org", Address("Elm 5", "Oslo"), [123_456])
    body = encode(event, id="1", source="shop").body
    assert decode_envelope(body).sensitive == ("/email", "/home/street", "/pins/*")
    shown = shown_body(body)
    assert shown is not None
    assert msgspec.json.decode(decode_envelope(shown).data) == {
        "user_id": "u-1",
        "email": MASK,
        "home": {"street": MASK, "city": "Oslo"},
        "pins": [MASK],
    }


def test_an_envelope_without_sensitive_values_says_nothing_of_it() -> None:
    assert b"sensitive" not in encode(Open("x"), id="1", source="shop").body.replace(b"sensitive.open", b"")
    assert secrets_of(Open("a note")) == ()


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"specversion":"1.0","data":{"a":1}}', b'{"specversion":"1.0","data":{"a":1}}'),
        (b'{"actor_name":"mail","args":["ann"]}', b'{"actor_name":"mail","args":["ann"]}'),
        (b'{"sensitive":["/a",7],"data":{"a":1}}', b'{"sensitive":["/a",7],"data":{"a":"***"}}'),
        (b'{"sensitive":"/a","data":{"a":1}}', b'{"sensitive":"/a","data":{"a":1}}'),
        (b'{"sensitive":["/a"]}', b'{"sensitive":["/a"]}'),
        (
            b'{"attributes":{"X-Api-Key":"k","host":"h"},"data":1}',
            b'{"attributes":{"X-Api-Key":"***","host":"h"},"data":1}',
        ),
        (b'{"sensitive":["/a"],"data":7}', b'{"sensitive":["/a"],"data":7}'),
        (b'{"sensitive":["/a"],"data":{"a":"pl4nt', None),
        (b'"\xff"', None),
        (b"[" * 5000 + b"]" * 5000, None),
    ],
)
def test_a_body_of_any_kind_is_shown_as_far_as_it_may_be(body: bytes, shown: bytes | None) -> None:
    assert shown_body(body) == shown


def test_a_key_cannot_be_made_of_what_is_sensitive() -> None:
    for option in ("key", "dedup"):
        said: dict[str, Any] = {"name": "x.y", option: "email"}
        with pytest.raises(
            InvalidContract, match="field `email` is sensitive and so cannot be part of a key"
        ):
            EventMeta("X", (Event,), {"__annotations__": {"email": Secret}}, **said)


@pytest.mark.parametrize(
    "text",
    ["no such user: {}", "user {!r} is gone", "{!s}{!s}", 'refused: {{"email": {}}}', "{}"],
)
@pytest.mark.parametrize("secret", ["ann@example.org", 'it\'s a "quoted" one', "tab\tand\nline", "pä✓ss"])
def test_a_sensitive_value_is_taken_out_of_a_text_in_every_form(text: str, secret: str) -> None:
    told = text.format(secret, secret) + msgspec.json.encode(secret).decode() + ascii(secret)
    shown = concealed(told, secrets_of(SignedUp("u-1", secret)))
    assert secret not in shown
    assert repr(secret)[1:-1] not in shown
    assert MASK in shown


def test_nested_and_numeric_values_are_taken_out_and_short_ones_are_left() -> None:
    event = SignedUp("u-1", "abc", Address("Elm Street 5", "Oslo"), [123_456])
    shown = concealed("abc lives in Elm Street 5, Oslo, pin 123456", secrets_of(event))
    assert shown == f"abc lives in {MASK}, Oslo, pin {MASK}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot reach redis://app:pa55w0rd@db:6379/0", "cannot reach redis://app:***@db:6379/0"),
        ("cannot reach redis://:pa55/w@rd@db:6379", "cannot reach redis://:***@db:6379"),
        ("clone https://ghp_1234@github.com/x", "clone https://***@github.com/x"),
        ("see https://example.org:8080/a?b=c", "see https://example.org:8080/a?b=c"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("401 for Basic dXNlcjpwYXNz", "401 for Basic ***"),
        ("GET /x?api_key=12345&y=1", "GET /x?api_key=***&y=1"),
        ('{"password": "hunter two", "a": 1}', '{"password": ***, "a": 1}'),
        ("token=abc", "token=***"),
        ("the token has expired", "the token has expired"),
        ("a basic mistake", "a basic mistake"),
    ],
)
def test_credentials_are_masked_by_the_words_around_them(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
