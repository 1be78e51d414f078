"""The catalog reads every version it can, and says plainly what it cannot, without showing content."""

import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import UUID

import msgspec
import pytest

from callboard.messages.catalog import Catalog
from callboard.messages.codec import decode_envelope, encode
from callboard.messages.envelope import Envelope
from callboard.messages.errors import (
    ConfigurationError,
    InvalidContract,
    UnknownContract,
    UnreadableBody,
)
from callboard.messages.event import Event, contract_of


class OrderPlacedV1(Event, name="order.placed"):
    order: str


class OrderPlaced(Event, name="order.placed", version=3, key="order_id"):
    order_id: str
    total: float
    at: datetime | None = None
    ref: UUID | None = None
    lines: dict[int, int] = msgspec.field(default_factory=dict)


class OrderShipped(Event, name="order.shipped", forbid_unknown_fields=True):
    order_id: str


class Checked(Event, name="checked"):
    number: int

    def __post_init__(self) -> None:
        if self.number == 1:
            raise ValueError(f"SECRET {self.number}")
        if self.number == 2:
            raise KeyError("SECRET")
        if self.number == 3:
            raise MemoryError


def rename_order(fields: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": fields["order"]}


def add_total(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "total": 0}


def catalog_of(*contracts: type[Event]) -> Catalog:
    catalog = Catalog()
    for contract in contracts:
        catalog.add(contract)
    return catalog


def envelope(data: bytes, name: str = "order.placed", version: int = 3) -> Envelope:
    return Envelope(
        specversion="1.0",
        id="e-1",
        source="test",
        type=name,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        dataversion=version,
        data=msgspec.Raw(data),
    )


def test_an_event_is_read_as_it_was_published() -> None:
    event = OrderPlaced("A-1", 25.0, datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7), {1: 2})
    body = encode(event, id="e-1", source="shop").body
    assert catalog_of(OrderPlaced).read(decode_envelope(body)) == event


def test_unknown_fields_are_let_through_unless_the_contract_forbids_them() -> None:
    catalog = catalog_of(OrderPlaced, OrderShipped)
    assert catalog.read(envelope(b'{"order_id":"A","total":1,"new":[1]}')) == OrderPlaced("A", 1.0)
    with pytest.raises(UnreadableBody, match=r"order\.shipped version 1 cannot be read"):
        catalog.read(envelope(b'{"order_id":"A","SECRET":1}', "order.shipped", 1))


def test_adding_a_contract_again_changes_nothing() -> None:
    catalog = catalog_of(OrderPlaced, OrderPlaced)
    assert catalog.add(OrderPlaced) is contract_of(OrderPlaced)
    assert catalog.names() == ("order.placed",)


def test_two_classes_of_one_name_and_version_are_told_apart_by_their_names() -> None:
    class Other(Event, name="order.shipped"):
        pass

    with pytest.raises(
        ConfigurationError, match=r"OrderShipped and .*Other are both order\.shipped version 1: give one"
    ):
        catalog_of(OrderShipped, Other)
    assert catalog_of(Other).current("order.shipped").cls is Other


def test_the_highest_version_is_current_in_whatever_order_they_are_added() -> None:
    for contracts in ((OrderPlacedV1, OrderPlaced), (OrderPlaced, OrderPlacedV1)):
        catalog = catalog_of(*contracts)
        assert catalog.current("order.placed").cls is OrderPlaced
        assert catalog.read(envelope(b'{"order":"A"}', version=1)) == OrderPlacedV1("A")


def test_an_older_event_goes_up_version_by_version() -> None:
    catalog = Catalog()
    catalog.upcaster(OrderPlaced, 2, add_total)
    catalog.upcaster(OrderPlaced, 1, rename_order)
    assert catalog.read(envelope(b'{"order":"A"}', version=1)) == OrderPlaced("A", 0.0)
    assert catalog.read(envelope(b'{"order_id":"A"}', version=2)) == OrderPlaced("A", 0.0)
    assert catalog.read(envelope(b'{"order_id":"A","total":2}')) == OrderPlaced("A", 2.0)


def test_an_upcaster_is_preferred_to_the_class_of_its_version() -> None:
    for contracts in ((OrderPlacedV1, OrderPlaced), (OrderPlaced,)):
        catalog = catalog_of(*contracts)
        catalog.upcaster(OrderPlaced, 1, rename_order)
        catalog.upcaster(OrderPlaced, 2, add_total)
        catalog.add(OrderPlacedV1)
        assert catalog.read(envelope(b'{"order":"A"}', version=1)) == OrderPlaced("A", 0.0)


def test_fields_that_went_through_an_upcaster_are_read_as_json_would_be() -> None:
    catalog = Catalog()
    catalog.upcaster(OrderPlaced, 2, lambda fields: {**fields, "total": 1, "lines": {"3": 4}})
    data = b'{"order_id":"A","at":"2026-01-01T00:00:00Z","ref":"00000000-0000-0000-0000-000000000007"}'
    event = catalog.read(envelope(data, version=2))
    assert event == OrderPlaced("A", 1.0, datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7), {3: 4})


def test_a_missing_step_is_told_with_the_mend() -> None:
    catalog = Catalog()
    catalog.upcaster(OrderPlaced, 1, rename_order)
    with pytest.raises(
        UnreadableBody,
        match=r"nothing leads from version 2 to 3: declare an upcaster of OrderPlaced with from_version=2",
    ):
        catalog.read(envelope(b'{"order":"A"}', version=1))


def test_a_newer_event_is_tried_as_the_current_version() -> None:
    catalog = catalog_of(OrderPlaced)
    assert catalog.read(envelope(b'{"order_id":"A","total":2,"new":1}', version=9)) == OrderPlaced("A", 2.0)
    with pytest.raises(
        UnreadableBody,
        match=r"order\.placed version 9 cannot be read: as version 3, .* missing required field `total`",
    ):
        catalog.read(envelope(b'{"order_id":"A"}', version=9))


PLANTED = b'{"SECRET":"SECRET"}'


def fail(fields: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError(f"cannot lift {fields}")


def hand_back_a_list(fields: dict[str, Any]) -> Any:
    return [fields]


def leave_as_it_is(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (fail, r"upcaster fail raised RuntimeError at test_catalog\.py:\d+"),
        (rename_order, r"upcaster rename_order raised KeyError at test_catalog\.py:\d+"),
        (hand_back_a_list, "upcaster hand_back_a_list returned a list: return the dict of fields"),
        (leave_as_it_is, "as version 3, Object missing required field `order_id`"),
    ],
)
def test_a_failing_upcaster_makes_an_unreadable_body(
    step: Callable[[dict[str, Any]], dict[str, Any]], fault: str
) -> None:
    catalog = Catalog()
    catalog.upcaster(OrderPlaced, 2, step)
    older = envelope(PLANTED, version=2)
    with pytest.raises(UnreadableBody, match=f"order.placed version 2 cannot be read: {fault}") as raised:
        catalog.read(older)
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None


@pytest.mark.parametrize("from_version", [0, 3, 4, -1, True, "1", None, 1.0])
def test_an_upcaster_starts_from_an_older_version(from_version: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"must be a whole number from 1 and below 3, the version of"
    ):
        Catalog().upcaster(OrderPlaced, from_version, add_total)


def test_one_version_has_one_upcaster() -> None:
    catalog = Catalog()
    catalog.upcaster(OrderPlaced, 2, add_total)
    catalog.upcaster(OrderPlaced, 2, add_total)
    with pytest.raises(ConfigurationError, match=r"add_total and rename_order both lead from version 2"):
        catalog.upcaster(OrderPlaced, 2, rename_order)


DEEP = b"[" * 50_000 + b"]" * 50_000


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "truncated"),
        (b"null", "Expected `object`, got `null`"),
        (b'"SECRET"', "Expected `object`, got `str`"),
        (b"SECRET", "JSON is malformed"),
        (b'{"total":1}', "missing required field `order_id`"),
        (b'{"order_id":["SECRET"],"total":1}', r"Expected `str`, got `array` at `\$\.data\.order_id`"),
        (b'{"order_id":"A","total":"SECRET"}', r"Expected `float`, got `str` at `\$\.data\.total`"),
        (b'{"order_id":"A","total":true}', r"Expected `float`, got `bool` at `\$\.data\.total`"),
        (b'{"order_id":"A","total":1,"at":"SECRET"}', r"Invalid RFC3339 .* at `\$\.data\.at`"),
        (b'{"order_id":"A","total":1,"ref":"SECRET"}', r"Invalid UUID at `\$\.data\.ref`"),
        (
            b'{"order_id":"A","total":1,"lines":{"SECRET":1}}',
            r"Expected `int`, got `str` at `\$\.data\.lines`",
        ),
        (b'{"order_id":"A","total":1,"lines":{"1":1.5}}', r"got `float` at `\$\.data\.lines\[...\]`"),
        (b'{"order_id":"A","total":1,"lines":{"1":' + b"1" * 5000 + b"}}", "out of range"),
        (b'{"order_id":"A\xff","total":1}', "not valid UTF-8"),
        (b'{"order_id":"A","total":1} SECRET', "trailing characters"),
        (b'{"order_id":"A","total":1,"more":' + DEEP + b"}", "nested too deep"),
    ],
)
def test_unreadable_data_names_the_field_and_not_the_content(version: int, data: bytes, fault: str) -> None:
    catalog = Catalog()
    catalog.upcaster(OrderPlaced, 2, leave_as_it_is)
    with pytest.raises(UnreadableBody, match=fault) as raised:
        catalog.read(envelope(data, version=version))
    assert str(raised.value).startswith(f"order.placed version {version} cannot be read: ")
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None


@pytest.mark.parametrize(("number", "fault"), [(1, "own check refused it .ValueError"), (2, "KeyError")])
def test_what_a_contracts_own_check_raises_makes_an_unreadable_body(number: int, fault: str) -> None:
    with pytest.raises(UnreadableBody, match=fault) as raised:
        catalog_of(Checked).read(envelope(b'{"number":%d}' % number, "checked", 1))
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))


def run_out_of_memory(fields: dict[str, Any]) -> dict[str, Any]:
    raise MemoryError


def test_running_out_of_memory_says_nothing_about_the_body() -> None:
    catalog = catalog_of(Checked)
    catalog.upcaster(OrderPlaced, 2, run_out_of_memory)
    with pytest.raises(MemoryError):
        catalog.read(envelope(b'{"number":3}', "checked", 1))
    with pytest.raises(MemoryError):
        catalog.read(envelope(b"{}", version=2))


def test_an_unknown_name_suggests_the_nearest() -> None:
    catalog = catalog_of(OrderPlaced, OrderShipped)
    with pytest.raises(
        UnknownContract, match=r"no contract is named 'order\.place': did you mean 'order\.placed'"
    ):
        catalog.current("order.place")
    with pytest.raises(UnknownContract, match=r"declare it, or import the module that does"):
        catalog.read(envelope(b"{}", "elsewhere"))


def test_an_endless_unknown_name_is_cut() -> None:
    with pytest.raises(UnknownContract) as raised:
        catalog_of(OrderPlaced).current("x" * 200_000)
    assert len(str(raised.value)) < 250


def test_the_names_are_sorted() -> None:
    assert catalog_of(OrderShipped, OrderPlaced, Checked).names() == (
        "checked",
        "order.placed",
        "order.shipped",
    )


@pytest.mark.parametrize("thing", [dict, Event, "order.placed"])
def test_what_is_no_contract_is_not_added(thing: Any) -> None:
    with pytest.raises(InvalidContract, match=r"is abstract|is not an Event"):
        Catalog().add(thing)


def test_a_type_that_never_came_is_told_when_the_contract_is_added_and_does_not_block_its_name() -> None:
    module = ModuleType("half_a_module")
    sys.modules[module.__name__] = module
    source = "from callboard.messages.event import Event\nclass Half(Event, name='half'): a: 'Missing'"
    exec(source, module.__dict__)  # noqa: S102 - a module as a user writes it
    catalog = Catalog()
    with pytest.raises(
        InvalidContract, match=r"half_a_module\.Half: an annotation names what is not defined"
    ):
        catalog.add(module.__dict__["Half"])
    assert catalog.names() == ()
    module.__dict__["Missing"] = int
    assert catalog.add(module.__dict__["Half"]).name == "half"


def test_catalogs_know_nothing_of_each_other() -> None:
    catalog_of(OrderPlaced)
    assert Catalog().names() == ()
