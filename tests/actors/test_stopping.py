"""A worker that stops lets its handlers end, and gives back what has not begun."""

import json
import threading

import dramatiq

from callboard import Callboard
from callboard.actors.ticket import Ticket
from tests.actors.rehearsal import OrderPlaced, held_by_a_consumer, orders, queue_of, taken, until, working


def test_a_worker_that_stops_lets_its_handlers_end_and_gives_back_the_rest(app: Callboard) -> None:
    starts: list[str] = []
    started, go = threading.Event(), threading.Event()

    @app.actor
    def handler(event: OrderPlaced) -> None:
        starts.append(event.order_id)
        started.set()
        assert go.wait(10)

    app.publish_many(orders(20))
    with working(app, threads=2):
        assert started.wait(10)
        threading.Timer(0.05, go.set).start()
    queue = queue_of(app)
    assert (queue.succeeded, queue.ready) == (len(starts), 20 - len(starts))
    assert (queue.leased, queue.scheduled, queue.suspects, queue.takeovers) == (0, 0, 0, 0)
    fetched = taken(app, 100)
    assert {delivery.attempt for delivery in fetched.deliveries} <= {1}


def test_a_thread_of_a_worker_that_stops_ends_after_the_handler_it_is_in(app: Callboard) -> None:
    seen: list[str] = []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)
        consumer.worker.stopping = True

    app.publish_many(orders(5))
    with held_by_a_consumer(app) as consumer:
        consumer._accept(taken(app, 5).deliveries)
        consumer.drain(Ticket(consumer))
        consumer.close()
    assert seen == ["0"]
    assert (queue_of(app).succeeded, queue_of(app).released, queue_of(app).leased) == (1, 4, 0)


def test_what_was_fetched_and_not_started_goes_back_in_its_order(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    app.publish_many(orders(10))
    with held_by_a_consumer(app) as consumer:
        consumer._accept(taken(app, 6).deliveries)
        consumer.close()
        until(lambda: queue_of(app).released == 6, "all to be given back")
    names = [json.loads(each.body)["data"]["order_id"] for each in taken(app, 10).deliveries]
    assert names == [str(number) for number in range(10)]


def test_plain_messages_that_were_handed_out_and_not_started_go_back(app: Callboard) -> None:
    @dramatiq.actor(broker=app.broker)
    def plain(number: int) -> None: ...

    for number in range(4):
        plain.send(number)
    with held_by_a_consumer(app) as consumer:
        consumer._accept(taken(app, 3).deliveries)
        handed_out = next(consumer)
        assert handed_out is not None
        consumer.requeue([handed_out])
        consumer.close()
    assert (queue_of(app).ready, queue_of(app).leased, queue_of(app).released) == (4, 0, 3)
