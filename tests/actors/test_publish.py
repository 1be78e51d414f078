"""What is published reaches all who subscribe or is refused with a reason; nothing is lost on the way."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, Event
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.messages.errors import (
    AmbiguousCommand,
    InvalidAfter,
    InvalidAttributes,
    InvalidEvent,
    InvalidKey,
    MailboxUnavailable,
    PayloadConflict,
    PayloadTooLarge,
    PublishError,
    UnroutedEvent,
)
from tests.actors.rehearsal import (
    Blob,
    FaultyMailbox,
    OrderPlaced,
    OrderShipped,
    SendReceipt,
    actors_of,
    new_app,
    queue_of,
    subscribe,
    taken,
    until,
    work_off,
    working,
)

A = OrderPlaced("A", 1.0)
HOUR_MS = 3_600_000


class Invoice(Event, name="invoice.due", dedup="number"):
    number: str
    total: float = 0.0


def test_a_receipt_names_the_event_and_every_actor_in_the_order_of_definition(app: Callboard) -> None:
    seen = subscribe(app, "zebra", "ant", "mule")
    receipt = app.publish(A)
    assert actors_of(receipt) == [("zebra", False), ("ant", False), ("mule", False)]
    assert receipt.id != app.publish(A).id
    work_off(app)
    assert sorted(name for name, _ in seen) == ["ant", "ant", "mule", "mule", "zebra", "zebra"]
    assert all(event == A for _, event in seen)


def test_events_published_before_the_first_worker_starts_wait_for_it(app: Callboard) -> None:
    seen = subscribe(app, "handler")
    for number in range(50):
        app.publish(OrderPlaced(str(number)))
    assert queue_of(app).ready == 50
    work_off(app, threads=1)
    assert [event.order_id for _, event in seen if isinstance(event, OrderPlaced)] == list(
        map(str, range(50))
    )


def test_the_same_dedup_key_is_a_duplicate_while_it_lives_and_after_it_was_completed(app: Callboard) -> None:
    seen = subscribe(app, "handler")
    assert actors_of(app.publish(A, dedup_key="k")) == [("handler", False)]
    assert actors_of(app.publish(A, dedup_key="k")) == [("handler", True)]
    work_off(app)
    assert actors_of(app.publish(A, dedup_key="k")) == [("handler", True)]
    assert len(seen) == 1
    assert (queue_of(app).accepted, queue_of(app).duplicates) == (1, 2)


def test_a_contracts_own_fields_make_its_dedup_key(app: Callboard) -> None:
    subscribe(app, "handler", to=Invoice)
    assert actors_of(app.publish(Invoice("7"))) == [("handler", False)]
    assert actors_of(app.publish(Invoice("7"))) == [("handler", True)]
    assert actors_of(app.publish(Invoice("8"))) == [("handler", False)]
    assert actors_of(app.publish(Invoice("7"), dedup_key="other")) == [("handler", False)]


def test_fifty_who_publish_one_key_at_a_time_make_one_delivery(app: Callboard) -> None:
    subscribe(app, "handler")
    receipts: list[Any] = []
    start = threading.Barrier(10)

    def publish() -> None:
        start.wait()
        receipts.extend(app.publish(A, dedup_key="k") for _ in range(5))

    threads = [threading.Thread(target=publish) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(actors_of(receipt)[0][1] for receipt in receipts) == [False] + 49 * [True]
    assert queue_of(app).accepted == 1


def test_a_known_key_with_another_body_is_a_conflict_and_nothing_is_stored(app: Callboard) -> None:
    subscribe(app, "handler", "other")
    app.publish(A, dedup_key="k")
    with pytest.raises(PayloadConflict, match=r"order\.placed: .* known to handler, other with another body"):
        app.publish(OrderPlaced("A", 2.0), dedup_key="k")
    assert queue_of(app).accepted == 2


@pytest.mark.parametrize(
    "after",
    ["1 hour", HOUR_MS, timedelta(hours=1), lambda: datetime.now(UTC) + timedelta(hours=1)],
    ids=["words", "milliseconds", "timedelta", "datetime"],
)
def test_each_form_of_after_reaches_the_schedule(app: Callboard, after: Any) -> None:
    subscribe(app, "handler")
    moment: Any = after() if callable(after) else after
    app.publish(A, after=moment)
    assert (queue_of(app).ready, queue_of(app).scheduled) == (0, 1)
    fetched = taken(app, 10)
    assert fetched.deliveries == []
    assert fetched.next_in_ms is not None
    assert HOUR_MS - 60_000 < fetched.next_in_ms <= HOUR_MS + 1000


def test_a_short_after_is_kept_and_the_handler_is_told_the_delay(app: Callboard) -> None:
    told: list[tuple[timedelta, timedelta]] = []

    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        told.append((ctx.delay, ctx.age()))

    with working(app):
        app.publish(A, after="0.05 seconds")
        until(lambda: told, "the delayed event")
    ((delay, age),) = told
    assert delay == timedelta(milliseconds=50)
    assert age >= delay


@pytest.mark.parametrize("after", [0, -1, float("nan"), True, "367 days", "soon", datetime(2100, 1, 1)])  # noqa: DTZ001 - a naive one is refused
def test_an_after_that_cannot_be_is_refused_and_nothing_is_stored(app: Callboard, after: Any) -> None:
    subscribe(app, "handler")
    with pytest.raises(InvalidAfter):
        app.publish(A, after=after)
    assert queue_of(app).accepted == 0


@pytest.mark.parametrize(
    ("event", "options", "error"),
    [
        ("A", {}, InvalidEvent),
        (OrderPlaced, {}, InvalidEvent),
        (OrderPlaced(1), {}, InvalidEvent),  # type: ignore[arg-type]  # that is the point
        (OrderPlaced("A", float("nan")), {}, InvalidEvent),
        (A, {"dedup_key": ""}, InvalidKey),
        (A, {"dedup_key": 7}, InvalidKey),
        (A, {"dedup_key": "a\nb"}, InvalidKey),
        (A, {"dedup_key": "ä" * 128}, InvalidKey),
        (OrderPlaced("x" * 256), {}, InvalidKey),
        (A, {"attributes": {"": "x"}}, InvalidAttributes),
        (A, {"attributes": {"x": 1}}, InvalidAttributes),
    ],
)
def test_what_cannot_be_an_event_is_refused_and_nothing_is_stored(
    app: Callboard, event: Any, options: dict[str, Any], error: type[PublishError]
) -> None:
    subscribe(app, "handler")
    with pytest.raises(error):
        app.publish(event, **options)
    assert queue_of(app).accepted == 0


def test_a_key_of_255_bytes_with_colons_and_spaces_is_kept_as_it_is(app: Callboard) -> None:
    subscribe(app, "handler")
    key = "a:b c#" + "ä" * 124 + "x"
    app.publish(A, dedup_key=key)
    (delivery,) = taken(app, 1).deliveries
    assert (delivery.actor, delivery.key) == ("handler", key)


def test_an_event_that_is_too_large_says_by_how_much(app: Callboard) -> None:
    subscribe(app, "handler", to=Blob)
    with pytest.raises(PayloadTooLarge, match=r"\d+ more than the limit of 262144"):
        app.publish(Blob("x" * 262_144))
    app.publish(Blob("x" * 261_000))
    assert queue_of(app).accepted == 1


def test_an_event_without_a_route_is_counted_and_logged(app: Callboard) -> None:
    with capture_logs() as logs:
        receipt = app.publish(A)
    assert receipt.deliveries == ()
    assert app.mailbox.info().unrouted == {"order.placed": 1}
    (line,) = [line for line in logs if line["event"] == "nobody subscribes, so it is not kept"]
    assert (line["event_name"], line["event_id"], line["log_level"]) == (
        "order.placed",
        receipt.id,
        "warning",
    )


def test_a_command_or_a_required_event_without_a_route_is_an_error(app: Callboard) -> None:
    with pytest.raises(UnroutedEvent, match=r"receipt\.send, which is a command"):
        app.publish(SendReceipt("A"))
    with pytest.raises(UnroutedEvent, match="required=True"):
        app.publish(A, required=True)
    assert app.mailbox.info().unrouted == {}


def test_a_command_with_two_actors_is_an_error(app: Callboard) -> None:
    subscribe(app, "one", "two", to=SendReceipt)
    with pytest.raises(AmbiguousCommand, match="but one, two subscribe to it"):
        app.publish(SendReceipt("A"))
    assert queue_of(app).accepted == 0


def test_publishing_from_a_coroutine_is_the_same(app: Callboard) -> None:
    subscribe(app, "handler")
    receipt = asyncio.run(app.apublish(A, dedup_key="k", after="1 hour", required=True))
    assert actors_of(receipt) == [("handler", False)]
    assert queue_of(app).scheduled == 1


def test_a_publish_that_the_mailbox_did_not_take_can_be_made_again_with_its_key() -> None:
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))
    subscribe(app, "handler")
    mailbox.fail("publish", MailboxUnavailable("gone"))
    with pytest.raises(MailboxUnavailable):
        app.publish(A, dedup_key="k")
    assert actors_of(app.publish(A, dedup_key="k")) == [("handler", False)]
    assert actors_of(app.publish(A, dedup_key="k")) == [("handler", True)]


def test_who_knows_only_the_contract_reaches_the_actors_a_worker_registered(mailbox: Mailbox) -> None:
    publisher, shop = new_app(mailbox), new_app(mailbox)
    seen = subscribe(shop, "handler")
    assert publisher.publish(A).deliveries == ()
    with working(shop):
        assert actors_of(publisher.publish(A)) == [("handler", False)]
        until(lambda: len(seen) == 1, "the event")
    assert actors_of(publisher.publish(A)) == [("handler", False)]


def test_a_publisher_follows_routes_that_change_while_it_lives(mailbox: Mailbox) -> None:
    publisher = new_app(mailbox)
    first, second = new_app(mailbox), new_app(mailbox)
    subscribe(first, "ant")
    subscribe(second, "bee", to=OrderPlaced)
    subscribe(second, "cow", to=OrderShipped)
    steps: list[tuple[Callable[[], Any], list[str]]] = [
        (lambda: first.mailbox.register(first.routes.declared), ["ant"]),
        (lambda: second.mailbox.register(second.routes.declared), ["ant", "bee"]),
    ]
    for step, expected in steps:
        step()
        assert [name for name, _ in actors_of(publisher.publish(A))] == expected
        assert [name for name, _ in actors_of(publisher.publish_many([A])[0])] == expected
    assert [name for name, _ in actors_of(publisher.publish(OrderShipped("A")))] == ["cow"]


def test_a_command_becomes_ambiguous_when_another_worker_registers_an_actor_for_it(mailbox: Mailbox) -> None:
    one, two = new_app(mailbox), new_app(mailbox)
    subscribe(one, "ant", to=SendReceipt)
    subscribe(two, "bee", to=SendReceipt)
    one.publish(SendReceipt("A"))
    two.mailbox.register(two.routes.declared)
    with pytest.raises(AmbiguousCommand, match="ant, bee"):
        one.publish(SendReceipt("A"))


def test_all_that_is_refused_of_an_event_is_a_publish_error(app: Callboard) -> None:
    subscribe(app, "handler")
    with pytest.raises(PublishError):
        app.publish(A, after="soon")
