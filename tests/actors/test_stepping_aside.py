"""A worker that fetches no more, or holds enough, leaves the rest to others."""

import os
import threading
import time

import dramatiq

from callboard import Callboard, Event
from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.rehearsal import OrderPlaced, OrderShipped, is_at_rest, new_app, queue_of, until, working

SOON = 8.0
"""Seconds, far more than a wake-up takes, and less than an idle worker waits without one."""


class Stage:
    """One worker process: a long handler in one queue, a short one in another."""

    def __init__(self, url: str, workspace: str) -> None:
        self.mailbox = RedisMailbox(url, workspace=workspace)
        self.app = new_app(self.mailbox)
        self.seen: list[str] = []
        self.going, self.on = threading.Event(), threading.Event()

        @self.app.actor(queue="short")
        def short(event: OrderPlaced) -> None:
            self.seen.append(event.order_id)

        @self.app.actor(queue="long")
        def long(event: OrderShipped) -> None:
            self.going.set()
            assert self.on.wait(60)

    def waiting(self) -> int:
        """How many commands are blocked at the server, of whatever process."""
        clients = self.mailbox.client.info("clients")
        return int(clients["blocked_clients"])

    def close(self) -> None:
        self.on.set()
        self.app.close()


def test_a_worker_that_stops_leaves_wake_ups_to_others(server_url: str) -> None:
    workspace = f"aside-{os.getpid()}"
    one, other = Stage(server_url, workspace), Stage(server_url, workspace)
    first = dramatiq.Worker(one.app.broker, worker_threads=2, worker_timeout=20)
    first.start()
    other.app.publish(OrderShipped("A"))
    assert one.going.wait(20)
    until(lambda: one.waiting() == 2, "the first worker to wait for both queues")
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    until(lambda: one.waiting() == 0, "the first worker to wait no more")
    with working(other.app):
        for number in range(5):
            other.app.publish(OrderPlaced(str(number)))
            until(lambda: len(other.seen) == number + 1, f"number {number}", within=SOON)  # noqa: B023 - run at once
        one.on.set()
        stopping.join(20)
    assert one.seen == []
    one.close()
    other.close()


def test_what_a_stopping_worker_has_not_started_goes_back_while_its_long_handler_runs(app: Callboard) -> None:
    going, on = threading.Event(), threading.Event()

    @app.actor
    def handler(event: OrderPlaced) -> None:
        if event.order_id == "long":
            going.set()
            assert on.wait(60)

    worker = dramatiq.Worker(app.broker, worker_threads=1, worker_timeout=20)
    worker.start()
    app.publish_many([OrderPlaced(str(number)) for number in range(50)])
    until(lambda: is_at_rest(app), "a deep buffer")
    app.publish_many([OrderPlaced("long"), *[OrderPlaced(str(number)) for number in range(50)]])
    assert going.wait(20)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    until(lambda: (queue_of(app).leased, queue_of(app).ready) == (1, 50), "the rest to be given back")
    on.set()
    stopping.join(20)
    assert queue_of(app).ready == 50


class Quick(Event, name="quick"):
    """For an `async def` handler."""


def test_a_queue_with_handlers_of_both_kinds_holds_no_more_than_it_can_run_soon(app: Callboard) -> None:
    on, most = threading.Event(), 0

    @app.actor
    def slow(event: OrderPlaced) -> None:
        assert on.wait(60)

    @app.actor
    async def quick(event: Quick) -> None: ...

    app.mailbox.register(app.routes.declared)
    app.publish_many([OrderPlaced(str(number)) for number in range(1000)])
    with working(app, threads=4):
        until(lambda: queue_of(app).leased >= 4, "the first ones")
        give_up_at = time.monotonic() + 1.5
        while time.monotonic() < give_up_at:
            most = max(most, queue_of(app).leased)
            time.sleep(0.01)
        on.set()
    assert most <= 250


def test_async_handlers_run_while_slow_ones_hold_every_thread(app: Callboard) -> None:
    on, seen = threading.Event(), list[str]()

    @app.actor
    def slow(event: OrderPlaced) -> None:
        assert on.wait(60)

    @app.actor
    async def quick(event: Quick) -> None:
        seen.append("quick")

    app.mailbox.register(app.routes.declared)
    app.publish_many([OrderPlaced(str(number)) for number in range(4)])
    with working(app, threads=4):
        until(lambda: queue_of(app).leased == 4, "every thread to be held")
        app.publish_many([Quick() for _ in range(300)])
        until(lambda: len(seen) == 300, "the quick ones")
        on.set()
