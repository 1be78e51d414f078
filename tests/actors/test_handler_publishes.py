"""What a handler publishes goes out with its success, and with nothing else."""

from typing import Any

import pytest

from callboard import Callboard, Context, RetryLater
from callboard.actors import context
from callboard.messages.delivery import Reason
from callboard.messages.errors import InvalidAfter, InvalidEvent, InvalidKey, TooMuchPublished, UnroutedEvent
from tests.actors.rehearsal import (
    AT_ONCE,
    OrderPlaced,
    OrderShipped,
    SendReceipt,
    new_app,
    queue_of,
    subscribe,
    until,
    work_off,
    working,
)


def ship_orders(app: Callboard) -> None:
    """An actor that publishes what it has shipped."""

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id))


def test_what_a_handler_publishes_goes_out_with_its_success(app: Callboard) -> None:
    shipped: list[tuple[str, str]] = []

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        shipped.append(("published", ctx.publish(OrderShipped(event.order_id))))
        assert queue_of(app, "later").accepted == 0

    @app.actor(queue="later")
    def tell(event: OrderShipped, ctx: Context) -> None:
        shipped.append((event.order_id, ctx.id))

    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: len(shipped) == 2, "the second event")
    (_, published), (order, received) = shipped
    assert (order, received) == ("A", published)


@pytest.mark.parametrize("error", [ValueError("no"), RetryLater("1 hour")])
def test_what_a_handler_publishes_is_not_sent_when_it_fails(app: Callboard, error: Exception) -> None:
    @app.actor(retry=AT_ONCE)
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id))
        raise error

    @app.actor(queue="later")
    def tell(event: OrderShipped) -> None:
        raise AssertionError("nothing was sent")

    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: queue_of(app).retried or queue_of(app).dead, "the failure")
    assert queue_of(app, "later").accepted == 0


def test_only_the_attempt_that_succeeds_publishes(app: Callboard) -> None:
    @app.actor(retry=AT_ONCE)
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id))
        ctx.publish(OrderShipped(event.order_id))
        if ctx.attempt < 3:
            raise ValueError("not yet")

    subscribe(app, "tell", to=OrderShipped, queue="later")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert (queue_of(app).succeeded, queue_of(app).retried) == (1, 2)
    assert queue_of(app, "later").accepted == 2


def test_an_async_handler_publishes_with_its_success_too(app: Callboard) -> None:
    seen: list[str] = []

    @app.actor
    async def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id))

    @app.actor(queue="later")
    def tell(event: OrderShipped) -> None:
        seen.append(event.order_id)

    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: seen, "the second event")
    assert seen == ["A"]


def test_options_of_a_handlers_publish_hold(app: Callboard) -> None:
    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped("A"), after="1 hour", dedup_key="k", attributes={"a": "b"})

    subscribe(app, "tell", to=OrderShipped, queue="later")

    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: queue_of(app).succeeded, "the handler")
    assert queue_of(app, "later").scheduled == 1
    again = app.publish(OrderShipped("A"), dedup_key="k")
    assert [each.duplicate for each in again.deliveries] == [True]


def test_correlation_is_inherited_and_causation_names_the_parent(app: Callboard) -> None:
    told: dict[str, tuple[str, str | None, str]] = {}

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        told["placed"] = (ctx.correlation_id, ctx.causation_id, ctx.id)
        ctx.publish(OrderShipped(event.order_id))

    @app.actor
    def tell(event: OrderShipped, ctx: Context) -> None:
        told["shipped"] = (ctx.correlation_id, ctx.causation_id, ctx.id)
        ctx.publish(SendReceipt(event.order_id))

    @app.actor
    def receipt(event: SendReceipt, ctx: Context) -> None:
        told["receipt"] = (ctx.correlation_id, ctx.causation_id, ctx.id)

    first = app.publish(OrderPlaced("A")).id
    with working(app):
        until(lambda: "receipt" in told, "the last event")
        assert told["placed"] == (first, None, first)
        assert told["shipped"][:2] == (first, first)
        assert told["receipt"][:2] == (first, told["shipped"][2])
        told.clear()
        app.publish(OrderPlaced("B"), correlation_id="c-1")
        until(lambda: "receipt" in told, "the last event")
    assert [correlation for correlation, *_ in told.values()] == ["c-1", "c-1", "c-1"]


@pytest.mark.parametrize(
    ("publish", "error"),
    [
        (lambda ctx: ctx.publish("no event"), InvalidEvent),
        (lambda ctx: ctx.publish(OrderShipped("A"), after=0), InvalidAfter),
        (lambda ctx: ctx.publish(OrderShipped("A"), dedup_key=""), InvalidKey),
        (lambda ctx: ctx.publish(SendReceipt("A")), UnroutedEvent),
    ],
)
def test_a_handler_that_publishes_what_cannot_be_is_told_so(
    memory_app: Callboard, publish: Any, error: type[Exception]
) -> None:
    caught: list[Exception] = []

    @memory_app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        try:
            publish(ctx)
        except Exception as refused:  # noqa: BLE001 - which one it is stands below
            caught.append(refused)

    memory_app.publish(OrderPlaced("A"))
    work_off(memory_app)
    assert [type(refused) for refused in caught] == [error]
    assert queue_of(memory_app).accepted == 1


def test_what_a_handler_publishes_reaches_an_actor_that_only_another_worker_knows(app: Callboard) -> None:
    other = new_app(app.mailbox)

    subscribe(other, "tell", to=OrderShipped, queue="later")

    ship_orders(app)
    other.mailbox.register(other.routes.declared)
    with working(app):
        # Posted without this app's publisher, which would load the routes.
        publisher = new_app(app.mailbox)
        publisher.publish(OrderPlaced("A"))
        until(lambda: queue_of(app).succeeded, "the handler")
    assert app.mailbox.info().unrouted == {}
    assert queue_of(app, "later").accepted == 1


def test_what_a_handler_publishes_follows_routes_that_change(app: Callboard) -> None:
    other = new_app(app.mailbox)

    subscribe(other, "tell", to=OrderShipped, queue="later")

    ship_orders(app)
    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: queue_of(app).succeeded == 1, "the first")
        other.mailbox.register(other.routes.declared)
        new_app(app.mailbox).publish(OrderPlaced("B"))
        until(lambda: queue_of(app).succeeded == 2, "the second")
    assert queue_of(app, "later").accepted == 1


def test_a_conflict_of_what_a_handler_published_is_seen(memory_app: Callboard) -> None:
    @memory_app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id), dedup_key="k")

    subscribe(memory_app, "tell", to=OrderShipped, queue="later")

    memory_app.publish_many([OrderPlaced("A"), OrderPlaced("B")])
    work_off(memory_app)
    assert (queue_of(memory_app, "later").succeeded, queue_of(memory_app, "later").dead) == (1, 1)
    (record,) = memory_app.mailbox.ended("later")
    assert record.reason is Reason.PAYLOAD_CONFLICT
    assert b"order_id" in record.stored


def test_an_attempt_publishes_so_many_events_and_no_more(
    memory_app: Callboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MOST_PUBLISHED", 3)
    faults: list[str] = []

    @memory_app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        for _ in range(3):
            ctx.publish(OrderShipped("A"))
        with pytest.raises(TooMuchPublished) as caught:
            ctx.publish(OrderShipped("A"))
        faults.append(str(caught.value))

    subscribe(memory_app, "tell", to=OrderShipped, queue="later")

    memory_app.publish_many([OrderPlaced("A"), OrderPlaced("B")])
    work_off(memory_app)
    assert queue_of(memory_app, "later").accepted == 6
    assert all("divide the work" in fault for fault in faults)


def test_an_attempt_publishes_so_many_bytes_and_no_more(
    memory_app: Callboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MOST_PUBLISHED_BYTES", 2500)

    @memory_app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped("x" * 1000))
        with pytest.raises(TooMuchPublished, match=r"2,500 bytes"):
            ctx.publish(OrderShipped("x" * 2000))
        ctx.publish(OrderShipped("small"))

    subscribe(memory_app, "tell", to=OrderShipped, queue="later")

    memory_app.publish(OrderPlaced("A"))
    work_off(memory_app)
    assert queue_of(memory_app, "later").accepted == 2


def test_as_much_as_an_attempt_may_publish_goes_out_with_its_success(app: Callboard) -> None:
    @app.actor(timeout="30s")
    def handler(event: OrderPlaced, ctx: Context) -> None:
        for _ in range(context.MOST_PUBLISHED):
            ctx.publish(OrderShipped("A"))

    subscribe(app, "tell", to=OrderShipped, queue="later")

    app.publish(OrderPlaced("A"))
    with working(app, stop_within=60):
        until(lambda: queue_of(app).succeeded, "the handler")
        app.mailbox.purge("later")
    assert queue_of(app, "later").accepted == context.MOST_PUBLISHED
