"""A worker does all there is to do, in its order, and is listed while it runs."""

import threading
from importlib.metadata import version

from callboard import Callboard, Context
from callboard.actors.ticket import Ticket
from tests.actors.rehearsal import (
    OrderPlaced,
    OrderShipped,
    held_by_a_consumer,
    is_at_rest,
    new_app,
    orders,
    queue_of,
    taken,
    until,
    work_off,
    working,
)


def test_many_events_for_many_actors_are_each_handled_once(app: Callboard) -> None:
    seen: list[tuple[str, str]] = []

    @app.actor(queue="one")
    def first(event: OrderPlaced) -> None:
        seen.append(("first", event.order_id))

    @app.actor(queue="two", priority=5)
    def second(event: OrderPlaced | OrderShipped) -> None:
        seen.append(("second", event.order_id))

    @app.actor(queue="two")
    async def third(event: OrderShipped) -> None:
        seen.append(("third", event.order_id))

    app.publish_many([OrderPlaced(f"p{number}") for number in range(300)])
    with working(app):
        app.publish_many([OrderShipped(f"s{number}") for number in range(300)])
        until(lambda: is_at_rest(app), "rest")
    assert len(seen) == len(set(seen)) == 1200
    assert (queue_of(app, "one").succeeded, queue_of(app, "two").succeeded) == (300, 900)


def test_of_what_a_worker_holds_lower_priorities_go_first(app: Callboard) -> None:
    order: list[str] = []

    def declare(name: str, priority: int) -> None:
        def handler(event: OrderPlaced) -> None:
            order.append(f"{name} {event.order_id}")

        app.actor(name=name, priority=priority)(handler)

    declare("last", 9)
    declare("first", -1)
    declare("middle", 5)
    app.publish_many([OrderPlaced("1"), OrderPlaced("2")])
    with held_by_a_consumer(app) as consumer:
        consumer._accept(taken(app, 10).deliveries)
        consumer.drain(Ticket(consumer))
    assert order == ["first 1", "first 2", "middle 1", "middle 2", "last 1", "last 2"]
    assert queue_of(app).succeeded == 6


def test_a_long_handler_keeps_its_lease(app: Callboard) -> None:
    short = new_app(app.mailbox, lease="900 ms")
    starts: list[int] = []
    beats = threading.Event()

    @short.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        beats.wait(2.8)  # as long as three leases

    short.publish(OrderPlaced("A"))
    work_off(short)
    assert starts == [1]
    assert (queue_of(short).takeovers, queue_of(short).succeeded) == (0, 1)


def test_a_worker_can_be_followed_by_another(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    for _ in range(3):
        app.publish_many(orders(20))
        work_off(app)
    assert queue_of(app).succeeded == 60
    assert app.mailbox.info().workers == ()


def test_a_worker_is_listed_while_it_runs(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    with working(app):
        until(lambda: len(app.mailbox.info().workers) == 1, "the heartbeat")
        assert app.mailbox.info().workers[0].version == version("callboard")
    assert app.mailbox.info().workers == ()
