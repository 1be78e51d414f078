"""What a process cannot be sure to hold any more it does not start, however late it learns of it (I10)."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from structlog.testing import capture_logs

from callboard import Batch
from callboard.actors.consumer import CallboardConsumer
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.scripts import Script
from callboard.actors.mailbox.suspects import Suspects
from callboard.actors.ticket import Ticket
from tests.actors.rehearsal import (
    OrderPlaced,
    held_by_a_consumer,
    new_app,
    orders,
    queue_of,
    subscribe,
    until,
    working,
)
from tests.chaos.proxy import Proxy
from tests.servers import Kind, start_server

LEASE_MS = 400
LATE = 1.0
"""Seconds that an answer is late: more than a lease."""

SAID = "their leases ended before they were started: giving back"


class Apart:
    """A worker behind a proxy, and another that is not."""

    def __init__(self, url: str, directory: Path) -> None:
        self.proxy = Proxy(directory / "p.sock", Path(url.removeprefix("unix://")), lambda *_: None)
        self.proxy.start()
        self.mailbox = RedisMailbox(self.proxy.url)
        self.other = RedisMailbox(url)

    def answer_late(self, script: str) -> None:
        """The next time that this script is asked for through the proxy."""
        made = Script(script)
        self.other.client.script_load(made.text)
        self.proxy.hold(made.digest.encode(), LATE)

    def take_over(self) -> None:
        """Hold it elsewhere, as soon as its lease has ended."""
        until(lambda: self.other.info().queues[0].leased, "the worker to hold it")
        beside = Suspects(together=1, hunts=False)
        until(
            lambda: (
                self.other.fetch("default", 1, owner="other", lease_ms=60_000, suspects=beside).deliveries
            ),
            "its lease to end",
        )

    def close(self) -> None:
        """Let go of everything."""
        self.mailbox.close()
        self.other.close()
        self.proxy.close()


@pytest.fixture(params=["valkey", "redis"])
def apart(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Apart]:
    """Two workers of one server, one of which may be answered late."""
    kind: Kind = request.param
    server = start_server(kind, tmp_path / "s")
    with closing(Apart(server.url, tmp_path)) as made:
        yield made
    server.stop()


def told(logs: Sequence[Any]) -> list[int]:
    """How many were given back each time."""
    return [line["count"] for line in logs if line["event"] == SAID]


def fetch(consumer: CallboardConsumer, *, seconds_ago: float = 0.0) -> None:
    """Fetch all there is, and let it wait."""
    fetched = consumer.worker.fetch("default", 10, consumer.worker.wanted_suspects())
    consumer._accept(fetched.deliveries)
    for delivery in fetched.deliveries:
        delivery.leased_at -= seconds_ago


def names(mailbox: RedisMailbox) -> list[tuple[str, int]]:
    """What another worker is given, and as which attempt."""
    found = mailbox.fetch("default", 10, owner="other", lease_ms=60_000).deliveries
    return [(json.loads(delivery.body)["data"]["order_id"], delivery.attempt) for delivery in found]


def test_what_was_handed_out_too_long_ago_is_not_started(apart: Apart) -> None:
    app = new_app(apart.mailbox, lease=LEASE_MS / 1000)
    seen = subscribe(app, "handler")

    app.broker.boot()
    app.publish(OrderPlaced("A"))
    apart.answer_late("fetch")
    with capture_logs() as logs, working(app):
        apart.take_over()
        until(lambda: told(logs), "the late answer")
    assert (seen, told(logs)) == ([], [1])
    assert (queue_of(app).takeovers, queue_of(app).leased) == (1, 1)


def test_a_renewal_whose_answer_is_late_is_no_longer_than_what_the_server_granted(apart: Apart) -> None:
    app = new_app(apart.mailbox, lease=LEASE_MS / 1000)
    seen = subscribe(app, "handler")

    app.broker.boot()
    app.publish(OrderPlaced("A"))
    with held_by_a_consumer(app) as consumer:
        fetch(consumer)
        apart.answer_late("renew")
        asked_at = time.monotonic()
        consumer.worker.renewer._renew()
        assert time.monotonic() - asked_at > LEASE_MS / 1000
        apart.take_over()
        consumer.drain(Ticket(consumer))
    assert seen == []


def test_a_renewal_in_time_lets_what_waits_be_started(apart: Apart) -> None:
    app = new_app(apart.mailbox)
    seen = subscribe(app, "handler")

    app.broker.boot()
    app.publish(OrderPlaced("A"))
    with held_by_a_consumer(app) as consumer:
        fetch(consumer, seconds_ago=app.broker.lease_ms / 1000)
        consumer.worker.renewer._renew()
        consumer.drain(Ticket(consumer))
    assert seen == [("handler", OrderPlaced("A"))]


def test_what_waited_for_longer_than_a_lease_goes_back_in_its_order_and_is_charged_nothing(
    apart: Apart,
) -> None:
    app = new_app(apart.mailbox)

    @app.actor
    def handler(event: OrderPlaced) -> None:
        raise AssertionError("it may run elsewhere")

    app.broker.boot()
    app.publish_many(orders(4))
    with capture_logs() as logs, held_by_a_consumer(app) as consumer:
        fetch(consumer, seconds_ago=app.broker.lease_ms / 1000)
        consumer.drain(Ticket(consumer))
    assert told(logs) == [1]
    assert names(apart.other) == [("0", 1), ("1", 1), ("2", 1), ("3", 1)]


def test_of_a_batch_what_is_over_goes_back_and_the_rest_is_run(apart: Apart) -> None:
    app = new_app(apart.mailbox)
    seen: list[list[str]] = []

    @app.actor(batch=Batch(size=2, wait="1 ms"))
    def handler(events: list[OrderPlaced]) -> None:
        seen.append([event.order_id for event in events])

    app.broker.boot()
    app.publish(OrderPlaced("0"))
    with capture_logs() as logs, held_by_a_consumer(app) as consumer:
        fetch(consumer, seconds_ago=app.broker.lease_ms / 1000)
        app.publish(OrderPlaced("1"))
        fetch(consumer)
        consumer.drain(Ticket(consumer))
    assert (seen, told(logs)) == ([["1"]], [1])
    assert names(apart.other) == [("0", 1)]


def test_a_handler_on_the_event_loop_is_not_started_either(apart: Apart) -> None:
    app = new_app(apart.mailbox, lease=LEASE_MS / 1000)
    seen: list[str] = []

    @app.actor
    async def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    app.broker.boot()
    app.publish(OrderPlaced("A"))
    apart.answer_late("fetch")
    with capture_logs() as logs, working(app):
        apart.take_over()
        until(lambda: told(logs), "the late answer")
    assert (seen, told(logs)) == ([], [1])


class Hooks(dramatiq.Middleware):
    """Notes what is told of messages, as a backend of results would."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def before_process_message(self, broker: object, message: dramatiq.MessageProxy) -> None:
        self.told.append(("before", message.args[0]))

    def after_process_message(self, broker: object, message: dramatiq.MessageProxy, **_: Any) -> None:
        self.told.append(("after", message.args[0]))

    def after_skip_message(self, broker: object, message: dramatiq.MessageProxy) -> None:
        self.told.append(("skip", message.args[0]))


def test_a_plain_message_is_not_started_either_and_no_hook_is_told_of_it(apart: Apart) -> None:
    app = new_app(apart.mailbox, lease=LEASE_MS / 1000)
    hooks = Hooks()
    app.broker.add_middleware(hooks)
    seen: list[int] = []

    @dramatiq.actor(broker=app.broker)
    def handler(number: int) -> None:
        seen.append(number)

    handler.send(1)
    apart.answer_late("fetch")
    with capture_logs() as logs, working(app, threads=1):
        apart.take_over()
        until(lambda: told(logs), "the late answer")
        for number in range(2, 12):
            handler.send(number)
        until(lambda: len(seen) == 10, "the others")
        until(lambda: queue_of(app).live == 1, "them to be settled")
    assert (sorted(seen), told(logs)) == (list(range(2, 12)), [1])
    assert hooks.told == [(word, number) for number in seen for word in ("before", "after")]
