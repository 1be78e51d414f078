"""What a handler is told of its attempt, and what it publishes goes out with its success alone."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, RetryLater
from callboard.messages.delivery import Reason
from callboard.messages.errors import InvalidAfter, InvalidEvent, InvalidKey, UnroutedEvent
from tests.actors.rehearsal import (
    AT_ONCE,
    OrderPlaced,
    OrderShipped,
    SendReceipt,
    new_app,
    queue_of,
    until,
    work_off,
    working,
)


def test_the_context_tells_of_the_event_and_the_attempt(app: Callboard) -> None:
    told: list[dict[str, Any]] = []

    @app.actor(name="clerk", retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        fields = ("id", "name", "time", "delay", "attempt", "fence", "actor", "attributes")
        told.append({field: getattr(ctx, field) for field in fields} | {"age": ctx.age(), "shown": repr(ctx)})
        if ctx.attempt == 1:
            raise RetryLater(timedelta(milliseconds=1))

    before = datetime.now(UTC) - timedelta(seconds=1)
    receipt = app.publish(OrderPlaced("A"), attributes={"tenant": "north"})
    work_off(app)
    first, second = told
    assert (first["id"], first["name"], first["actor"]) == (receipt.id, "order.placed", "clerk")
    assert first["attributes"] == {"tenant": "north"}
    assert before < first["time"] < datetime.now(UTC) + timedelta(seconds=1)
    assert first["delay"] == timedelta(0)
    assert first["age"] >= timedelta(0)
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert second["fence"] > first["fence"] > 0
    assert second["time"] == first["time"]
    assert first["shown"] == f"<Context order.placed id={receipt.id} actor=clerk attempt=1>"


def test_the_logger_carries_what_identifies_the_attempt(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        ctx.logger.info("sending", to=event.order_id)

    receipt = memory_app.publish(OrderPlaced("A"), correlation_id="c-1")
    with capture_logs() as logs:
        work_off(memory_app)
    (line,) = [line for line in logs if line["event"] == "sending"]
    expected = {"event_name": "order.placed", "event_id": receipt.id, "actor": "handler", "attempt": 1}
    assert expected.items() <= line.items()
    assert (line["correlation_id"], line["to"]) == ("c-1", "A")


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

    @app.actor(queue="later")
    def tell(event: OrderShipped) -> None: ...

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

    @app.actor(queue="later")
    def tell(event: OrderShipped) -> None: ...

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

    @other.actor(queue="later")
    def tell(event: OrderShipped) -> None: ...

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id))

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

    @other.actor(queue="later")
    def tell(event: OrderShipped) -> None: ...

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id))

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

    @memory_app.actor(queue="later")
    def tell(event: OrderShipped) -> None: ...

    memory_app.publish_many([OrderPlaced("A"), OrderPlaced("B")])
    work_off(memory_app)
    assert (queue_of(memory_app, "later").succeeded, queue_of(memory_app, "later").dead) == (1, 1)
    (record,) = memory_app.mailbox.ended("later")
    assert record.reason is Reason.PAYLOAD_CONFLICT
    assert b"order_id" in record.stored


def test_a_context_is_made_for_one_attempt_only(memory_app: Callboard) -> None:
    seen: set[int] = set()
    kept: list[Context] = []
    both = threading.Barrier(2)

    @memory_app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        both.wait(10)
        kept.append(ctx)
        seen.add(ctx.fence * 1000 + int(event.order_id))

    memory_app.publish_many([OrderPlaced("1"), OrderPlaced("2")])
    work_off(memory_app)
    assert kept[0] is not kept[1]
    assert {each % 1000 for each in seen} == {1, 2}
