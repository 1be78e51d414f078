"""What a handler wants is read from its annotations; whatever is wrong with them is told with the mend."""

import re
from typing import Any, Union

import pytest

from callboard import Command, Context, Event
from callboard.actors.signature import Wanted, read_signature
from callboard.messages.errors import InvalidActor
from tests.actors.rehearsal import OrderPlaced, OrderShipped, SendReceipt


class Mailer:
    """A resource."""


class Ledger:
    """Another."""


def wanted(events: tuple[type[Event], ...], *resources: type, context: bool = False) -> Wanted:
    return Wanted(events, context, resources)


def test_one_contract_is_read_from_the_first_parameter() -> None:
    def handler(event: OrderPlaced) -> None: ...

    assert read_signature(handler) == wanted((OrderPlaced,))


def test_a_union_subscribes_to_each_of_its_contracts() -> None:
    def with_bar(event: OrderPlaced | OrderShipped) -> None: ...
    def with_union(event: Union[OrderPlaced, OrderShipped, SendReceipt]) -> None: ...  # noqa: UP007 - also read

    assert read_signature(with_bar) == wanted((OrderPlaced, OrderShipped))
    assert read_signature(with_union) == wanted((OrderPlaced, OrderShipped, SendReceipt))


def test_the_context_is_optional_and_resources_follow_it() -> None:
    def both(event: OrderPlaced, ctx: Context, mailer: Mailer, ledger: Ledger) -> None: ...
    def resources(event: OrderPlaced, ledger: Ledger, mailer: Mailer) -> None: ...

    assert read_signature(both) == wanted((OrderPlaced,), Mailer, Ledger, context=True)
    assert read_signature(resources) == wanted((OrderPlaced,), Ledger, Mailer)


def test_an_async_handler_is_read_the_same() -> None:
    async def handler(event: OrderPlaced, ctx: Context) -> None: ...

    assert read_signature(handler) == wanted((OrderPlaced,), context=True)


def test_annotations_kept_as_text_are_resolved_where_the_handler_was_defined() -> None:
    class LocalEvent(Event, name="local.event"):
        pass

    def handler(event: "LocalEvent", ctx: "Context") -> None: ...

    assert read_signature(handler, {"LocalEvent": LocalEvent}) == wanted((LocalEvent,), context=True)


def test_a_name_that_cannot_be_resolved_says_so() -> None:
    def handler(event: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(InvalidActor, match=r"handler: an annotation .* 'Nowhere' .*import what it names"):
        read_signature(handler)


def test_all_parameters_that_cannot_be_filled_in_are_named_at_once() -> None:
    def handler(event, *rest: int, flag: bool, **more: str) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(InvalidActor) as caught:
        read_signature(handler)
    told = caught.value.faults
    assert [fault.split("'")[1] for fault in told] == ["event", "rest", "flag", "more"]
    assert "no annotation" in told[0]
    assert all("remove the star" in fault for fault in told[1:])


def test_a_handler_without_parameters_takes_no_event() -> None:
    def handler() -> None: ...

    with pytest.raises(InvalidActor, match=r"handler takes no event: write `def handler\(event"):
        read_signature(handler)


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (int, "int is not an Event"),
        (Event, "Event is abstract"),
        (Command, "Command is abstract"),
        (Context, "the event comes first, and then the context: write `def handler"),
        (OrderPlaced | None, "NoneType is not an Event"),
        (OrderPlaced | int, "int is not an Event"),
        (list[int], "int is not an Event"),
        (Any, "is not an Event"),
        (dict[str, int], "is not an Event"),
    ],
)
def test_a_first_parameter_that_is_no_contract_is_refused(annotation: Any, said: str) -> None:
    def handler(event: Any) -> None: ...

    handler.__annotations__["event"] = annotation
    with pytest.raises(InvalidActor, match=f"handler: .*{re.escape(said)}"):
        read_signature(handler)


def test_each_member_of_a_union_that_is_no_contract_is_named() -> None:
    def handler(event: int | OrderPlaced | str) -> None: ...

    with pytest.raises(InvalidActor) as caught:
        read_signature(handler)
    assert [" int " in fault or " str " in fault for fault in caught.value.faults] == [True, True]


def test_a_context_behind_a_resource_is_told_where_it_belongs() -> None:
    def handler(event: OrderPlaced, mailer: Mailer, ctx: Context) -> None: ...

    with pytest.raises(InvalidActor, match="the context comes second"):
        read_signature(handler)


def test_a_resource_that_is_no_class_cannot_be_found() -> None:
    def handler(event: OrderPlaced, something: Mailer | Ledger) -> None: ...

    with pytest.raises(InvalidActor, match="a resource is found by its class"):
        read_signature(handler)
