"""Invariant I2: at every moment, under load, what was accepted or replayed is in one place or has ended."""

import random
import threading
from collections.abc import Callable

import pytest

from callboard import Callboard, DiscardEvent, Event, RejectEvent, Retry
from callboard.actors.dead_letters import DeadFilter
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.actors.mailbox.memory import MemoryMailbox
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import OutcomeKind, Reason
from tests.actors.mailbox.conformance import check_conservation
from tests.actors.rehearsal import is_at_rest, until, working
from tests.servers import start_server

SNAPSHOTS = 60
"""While all goes on; 50 ms lie between two."""


class Said(Event, name="said"):
    """One of many."""

    number: int


def busy_app(mailbox: Mailbox) -> Callboard:
    """An app in which everything happens."""
    app = Callboard("busy", mailbox=mailbox, retry=Retry.every("20ms", max_attempts=2))
    chance = random.Random(7)  # noqa: S311 - spreads what happens, guards nothing

    @app.actor(queue="orders")
    def handle(event: Said) -> None:
        drawn = chance.random()
        if drawn < 0.1:
            raise RejectEvent("not today")
        if drawn < 0.2:
            raise DiscardEvent("never")
        if drawn < 0.5:
            raise ConnectionError

    @app.actor(queue="slow", concurrency=2)
    def slow(event: Said) -> None:
        if event.number % 3 == 0:
            raise ConnectionError

    return app


def over_and_over(stop: threading.Event, do: Callable[[], object], pause: float) -> threading.Thread:
    """Do something from now on, in a thread of its own."""

    def go_on() -> None:
        while not stop.wait(pause):
            do()

    thread = threading.Thread(target=go_on)
    thread.start()
    return thread


@pytest.fixture(params=["memory", "valkey"])
def mailbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    if request.param == "memory":
        yield MemoryMailbox()
        return
    server = start_server("valkey", tmp_path_factory.mktemp("conservation"))
    made = RedisMailbox(server.url, "conservation")
    yield made
    made.close()
    server.stop()


def test_nothing_is_lost_and_nothing_is_there_twice_at_any_moment(mailbox: Mailbox) -> None:
    app = busy_app(mailbox)
    numbers = iter(range(1_000_000))
    stop = threading.Event()
    letters = app.dead_letters

    def publish() -> None:
        events = [Said(next(numbers)) for _ in range(20)]
        app.publish_many(events[:15])
        for receipt in app.publish_many(events[15:], after="1 hour"):
            app.cancel(receipt)

    with working(app):
        threads = [
            over_and_over(stop, publish, 0.01),
            over_and_over(stop, lambda: letters.replay(DeadFilter(error="ConnectionError"), limit=30), 0.05),
            over_and_over(stop, lambda: letters.discard(DeadFilter(reason=Reason.REJECTED), limit=10), 0.07),
        ]
        for _ in range(SNAPSHOTS):
            check_conservation(mailbox.info())
            stop.wait(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        until(lambda: is_at_rest(app), "rest")
        info = mailbox.info()
    check_conservation(info)
    orders, slow = info.queues
    assert min(orders.replayed, orders.discarded, orders.dead, orders.succeeded, slow.replayed) > 0
    assert orders.leased == slow.leased == 0
    # Invariant I6: of what was neither replayed nor forgotten, each end has a record with one reason.
    for queue in (orders, slow):
        records = mailbox.ended(queue.queue, 1_000_000)
        kinds = [each.kind for each in records]
        assert kinds.count(OutcomeKind.DISCARDED) == queue.discarded
        assert kinds.count(OutcomeKind.DEAD) == queue.dead_letters.count
        assert all(each.reason in set(Reason) for each in records)
