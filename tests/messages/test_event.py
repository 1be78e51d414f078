"""A contract is declared by a class; whatever is wrong with it is told at once, with the mend."""

import sys
import uuid
from datetime import UTC, datetime
from enum import Enum
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import pytest

from callboard.messages.errors import InvalidContract, InvalidEvent, InvalidKey
from callboard.messages.event import (
    Command,
    Contract,
    Event,
    Kind,
    check_key,
    contract_of,
    dedup_key_of,
    entity_key_of,
    shape_of,
)


class OrderPlaced(Event, name="order.placed", version=2, key="order_id", dedup=("order_id", "email")):
    order_id: str
    email: str
    total: float = 0.0


class SendReceipt(Command, name="receipt.send", window="10m"):
    order_id: str


class Colour(Enum):
    RED = "red"


def declare(source: str) -> type[Event]:
    """The class `Wrong` that the source declares, in a module of its own."""
    module = ModuleType("declared_by_a_test")
    sys.modules[module.__name__] = module
    exec(f"from typing import *\nfrom callboard.messages.event import *\n{source}", module.__dict__)  # noqa: S102 - a module as a user writes it
    declared: type[Event] = module.__dict__["Wrong"]
    return declared


def faults_of(source: str) -> tuple[str, ...]:
    with pytest.raises(InvalidContract) as raised:
        declare(source)
    return raised.value.faults


def test_a_contract_says_what_its_class_keywords_declared() -> None:
    assert contract_of(OrderPlaced) == Contract(
        name="order.placed",
        version=2,
        key=("order_id",),
        dedup=("order_id", "email"),
        kind=Kind.DOMAIN,
        window_ms=24 * 3_600_000,
        cls=OrderPlaced,
    )


def test_a_contract_may_say_how_long_records_are_kept() -> None:
    class Kept(Event, name="kept", retention="90d"):
        pass

    assert contract_of(Kept).retention_ms == 90 * 24 * 3_600_000
    assert contract_of(OrderPlaced).retention_ms is None


@pytest.mark.parametrize("said", ["0", "-1", "4000 * 86400", "'soon'", "True"])
def test_a_retention_that_cannot_be_is_refused_at_the_declaration(said: str) -> None:
    (fault,) = faults_of(f"class Wrong(Event, name='wrong', retention={said}): pass")
    assert "retention" in fault


def test_an_event_is_made_by_position_or_by_name_and_cannot_change() -> None:
    event = OrderPlaced("A-1", "ann@example.org", 25.0)
    assert event == OrderPlaced(order_id="A-1", email="ann@example.org", total=25.0)
    with pytest.raises(AttributeError):
        event.total = 1.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_command_is_a_command_without_saying_so() -> None:
    assert contract_of(SendReceipt).kind is Kind.COMMAND
    assert contract_of(SendReceipt("A-1")).window_ms == 600_000


def test_a_contract_derived_from_a_contract_has_its_fields_and_declares_its_own_keywords() -> None:
    class Later(OrderPlaced, name="order.placed", version=3):
        note: str = ""

    assert Later("A-1", "ann@example.org", note="gift").note == "gift"
    assert contract_of(Later).key == ()


def test_an_abstract_class_hands_on_its_fields_and_its_kind() -> None:
    class Step(Event, kind="workflow", abstract=True):
        step: int

    class Done(Step, name="step.done"):
        pass

    assert contract_of(Done(step=3)).kind is Kind.WORKFLOW
    with pytest.raises(InvalidEvent, match="abstract"):
        contract_of(Step)


def test_an_abstract_class_below_a_contract_is_no_contract() -> None:
    class Base(OrderPlaced, abstract=True):
        pass

    with pytest.raises(InvalidEvent, match="abstract"):
        contract_of(Base)


def test_keywords_of_msgspec_go_through() -> None:
    class Renamed(Event, name="renamed", rename="camel", forbid_unknown_fields=True, kw_only=True):
        order_id: str = ""

    assert msgspec.json.encode(Renamed(order_id="A")) == b'{"orderId":"A"}'
    assert Renamed.__struct_config__.forbid_unknown_fields


def test_constants_methods_properties_and_private_names_are_no_fields() -> None:
    class Rich(Event, name="rich"):
        LIMIT: ClassVar[int] = 3
        _cache = 1
        amount: int

        class Meta:
            pass

        @property
        def doubled(self) -> int:
            return self.amount * 2

        @staticmethod
        def zero() -> "Rich":
            return Rich(0)

    assert Rich(2).doubled == 4
    assert Rich.__struct_fields__ == ("amount",)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("class Wrong(Event): a: int", 'it has no name: write name="order.placed"'),
        ("class Wrong(Event, name=''): a: int", "name must be lower-case words"),
        ("class Wrong(Event, name='Order.Placed'): a: int", "but is 'Order.Placed'"),
        ("class Wrong(Event, name='order..placed'): a: int", "name must be lower-case words"),
        ("class Wrong(Event, name='order.placed\\n'): a: int", "name must be lower-case words"),
        ("class Wrong(Event, name=7): a: int", "but is 7"),
        ("class Wrong(Event, name='a' * 101): a: int", "name has 101 characters, but can have 100"),
        (
            "class Wrong(Event, name='w', version=0): a: int",
            "version must be a whole number from 1, but is 0",
        ),
        ("class Wrong(Event, name='w', version=True): a: int", "but is True"),
        ("class Wrong(Event, name='w', version='1'): a: int", "but is '1'"),
        ("class Wrong(Event, name='w', version=1.0): a: int", "but is 1.0"),
        ("class Wrong(Event, name='w', key='b'): a: int", "key names `b`, not a field: choose of a"),
        ("class Wrong(Event, name='w', dedup=('a', 'b')): a: int", "dedup names `b`"),
        ("class Wrong(Event, name='w', key=7): a: int", "key must be a field's name or a tuple of them"),
        (
            "class Wrong(Event, name='w', kind='query'): a: int",
            "kind must be one of domain, command, workflow",
        ),
        ("class Wrong(Command, name='w', kind='domain'): a: int", "derives from a command"),
        ("class Wrong(Event, name='w', window='soon'): a: int", "cannot read 'soon' as window"),
        ("class Wrong(Event, name='w', window=-1): a: int", "window cannot be negative"),
        (
            "class Wrong(Event, name='w'): total = 0.0",
            "`total` has no annotation: write `total: float = ...`",
        ),
        ("class Wrong(Event, name='w', frozen=False): a: int", "remove frozen=False"),
        ("class Wrong(Event, name='w', array_like=True): a: int", "remove it"),
        (
            "class Wrong(Event, name='w', windw='7d'): a: int",
            "msgspec refuses it: 'windw' is an invalid keyword",
        ),
        ("class Wrong(Event, name='w', windw='7d'): a: int", "; did you mean window?"),
        (
            "class Wrong(Event, name='w'):\n    a: int = 0\n    b: int",
            "msgspec refuses it: Required field 'b'",
        ),
        (
            "class X: pass\nclass Wrong(Event, name='w'): a: X",
            "field `a` holds X, which cannot be read from JSON",
        ),
        ("class X: pass\nclass Wrong(Event, name='w'): a: dict[str, list[X]]", "field `a` holds X"),
        ("class Wrong(Event, name='w'): a: Callable[[], int]", "field `a` holds Callable"),
        ("class Wrong(Event, name='w'): a: list[int] | tuple[int, ...]", "a field's type cannot be read"),
        ("class Wrong(Event, name='w', abstract=True): a: int", "an abstract class takes `kind` alone"),
    ],
)
def test_a_faulty_declaration_names_the_class_and_the_mend(source: str, fault: str) -> None:
    faults = faults_of(source)
    assert [told for told in faults if fault in told]
    assert all(told.startswith("declared_by_a_test.Wrong: ") for told in faults)


def test_all_faults_of_a_class_are_told_at_once() -> None:
    faults = faults_of(
        "class X: pass\n"
        "class Wrong(Event, name='Bad Name', version=0, key='nothing', window='?', kind='?'):\n"
        "    a: X\n    b = 1"
    )
    assert len(faults) == 7


def test_the_annotations_may_be_text() -> None:
    cls = declare(
        "class Wrong(Event, name='w'):\n"
        "    a: 'int'\n    children: 'list[Wrong]' = []\n    later: 'Later | None' = None\n"
        "class Later(Event, name='later'): b: int"
    )
    assert shape_of(cls).decode(b'{"a":1,"later":{"b":2},"children":[{"a":3}]}').later.b == 2


def test_an_annotation_that_is_never_defined_is_told_when_the_contract_is_used() -> None:
    cls = declare("class Wrong(Event, name='w'): a: 'Nowhere'")
    with pytest.raises(InvalidContract, match=r"Wrong: an annotation names what is not defined: .*Nowhere"):
        shape_of(cls)


def test_a_faulty_type_behind_a_forward_reference_is_told_when_the_contract_is_used() -> None:
    cls = declare("class Wrong(Event, name='w'): a: 'X'\nclass X: pass")
    with pytest.raises(InvalidContract, match="field `a` holds X"):
        shape_of(cls)


@pytest.mark.parametrize("thing", [{"order_id": "A-1"}, "A-1", None, dict, object(), msgspec.Struct])
def test_what_is_no_event_has_no_contract(thing: object) -> None:
    with pytest.raises(InvalidEvent, match=r"is not an Event: declare a contract, as in `class "):
        contract_of(thing)


class Receipt:
    pass


@pytest.mark.parametrize(
    ("thing", "named"), [({}, "OrderPlaced"), ("A-1", "OrderPlaced"), (Receipt(), "Receipt")]
)
def test_the_contract_to_declare_is_named_as_the_class_that_is_none(thing: object, named: str) -> None:
    with pytest.raises(InvalidEvent, match=rf"as in `class {named}\(Event, "):
        contract_of(thing)


def test_an_events_repr_shows_the_fields_of_its_key_alone() -> None:
    assert repr(OrderPlaced("A-1", "SECRET")) == "OrderPlaced(order_id='A-1')"
    assert repr(SendReceipt("SECRET")) == "SendReceipt(...)"
    assert OrderPlaced("A-1", "SECRET").__rich_repr__() == [("order_id", "A-1")]


def test_a_key_of_one_field_is_the_field() -> None:
    assert entity_key_of(OrderPlaced("A:1", "ann@example.org")) == "A:1"
    assert entity_key_of(SendReceipt("A-1")) is None
    assert dedup_key_of(SendReceipt("A-1")) is None


def test_keys_of_several_fields_differ_when_the_fields_do() -> None:
    keys = {
        dedup_key_of(OrderPlaced(*fields))
        for fields in [("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("a", "b%3Ac"), ("a:b:c", "")]
    }
    assert len(keys) == 5
    assert dedup_key_of(OrderPlaced("A-1", "ann@example.org")) == "A-1:ann@example.org"


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (7, "7"),
        (True, "true"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (datetime(2026, 1, 31, 9, tzinfo=UTC), "2026-01-31T09:00:00Z"),
    ],
)
def test_a_key_reads_as_the_field_does_on_the_wire(value: Any, key: str) -> None:
    class Keyed(Event, name="keyed", key="it"):
        it: Any

    assert entity_key_of(Keyed(value)) == key


@pytest.mark.parametrize("value", [None, ["a"], {"a": 1}])
def test_a_key_needs_text_or_a_number(value: Any) -> None:
    class Keyed(Event, name="keyed", key="it"):
        it: Any

    with pytest.raises(InvalidKey, match=r"keyed: `it` is part of a key and so must be text or a number"):
        entity_key_of(Keyed(value))


@pytest.mark.parametrize("key", ["a", "a" * 255, "ü" * 127, "order 7/é:#", "0"])
def test_a_short_printable_text_is_a_key(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "cannot be empty"),
        ("a" * 256, "255 bytes at most, but has 256"),
        ("ü" * 128, "255 bytes at most, but has 256"),
        ("a\nb", "unprintable"),
        ("a\x00", "unprintable"),
        ("\ud800", "unprintable"),
        (7, "must be text, but is a int"),
        (b"a", "must be text, but is a bytes"),
    ],
)
def test_anything_else_is_no_key(key: Any, fault: str) -> None:
    with pytest.raises(InvalidKey, match=fault):
        check_key(key)


def test_an_invalid_key_from_fields_names_them_and_not_their_content() -> None:
    with pytest.raises(InvalidKey, match=r"order\.placed, key from order_id: a key can have 255") as raised:
        entity_key_of(OrderPlaced("SECRET" * 50, ""))
    assert "SECRET" not in str(raised.value)
