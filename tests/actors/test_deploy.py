"""While actors are deployed, some workers do not know them yet: what is for them waits for one that does."""

import threading
import time
from collections import Counter
from typing import Any

import pytest

from callboard import Callboard, MemoryMailbox
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.actors.performing import settlement_of_unknown
from callboard.messages.delivery import Delivery, ErrorRecord, History, OutcomeKind, Reason
from callboard.middleware.unknown import UNKNOWN_FOR_MS
from tests.actors.rehearsal import OrderPlaced, new_app, orders, queue_of, until, working


class Standing:
    """A clock that stands where it is put."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


def unknown(at: int, history: History) -> Delivery:
    return Delivery("added:A", "default", 1, b"0" * 42, Standing(at), history)


def test_an_old_worker_leaves_what_is_for_a_new_actor_to_a_new_worker(mailbox: Mailbox) -> None:
    seen: list[str] = []
    old, new = new_app(mailbox), new_app(mailbox)

    @old.actor(name="first")
    def old_first(event: OrderPlaced) -> None:
        seen.append("first")

    @new.actor(name="first")
    def new_first(event: OrderPlaced) -> None:
        seen.append("first")

    @new.actor
    def added(event: OrderPlaced) -> None:
        seen.append("added")

    mailbox.register(new.routes.declared)
    with working(old):
        new.publish(OrderPlaced("A"))
        until(lambda: queue_of(old).retried == 1, "the old worker to leave it")
    with working(new):
        until(lambda: queue_of(new).succeeded == 2, "the new worker to do it")
    assert sorted(seen) == ["added", "first"]
    assert mailbox.ended("default") == []


def test_what_waits_for_its_actor_is_charged_nothing_and_waits_longer_each_time() -> None:
    delays: list[int] = []
    history, now = History(attempts=2), 1_000_000
    while (settlement := settlement_of_unknown(unknown(now, history))).outcome.kind is OutcomeKind.RETRIED:
        assert settlement.history is not None
        history = settlement.history
        delays.append(settlement.outcome.delay_ms)
        now += delays[-1]
    assert delays[:4] == [1_000, 1_000, 2_000, 4_000]
    assert max(delays) <= 600_000
    assert len(delays) < 20
    assert (history.attempts, history.crashes) == (2, 0)
    assert settlement.outcome.reason is Reason.UNKNOWN_ACTOR
    assert now - 1_000_000 >= UNKNOWN_FOR_MS


def test_however_old_it_is_it_waits_from_when_its_actor_was_missed_first() -> None:
    settlement = settlement_of_unknown(unknown(10**12, History()))
    assert settlement.outcome.kind is OutcomeKind.RETRIED
    assert settlement.history is not None
    assert settlement.history.last_error == ErrorRecord("unknown_actor", "no actor 'added' here", 10**12)


def test_the_first_error_of_a_handler_is_kept() -> None:
    earlier = ErrorRecord("OSError", "no", 5)
    settlement = settlement_of_unknown(unknown(100, History(1, 0, earlier, earlier)))
    assert settlement.history is not None
    assert settlement.history.first_error == earlier


@pytest.mark.usefixtures("impatient")
def test_at_last_it_is_dead_with_its_bytes() -> None:
    mailbox = MemoryMailbox()
    old, new = new_app(mailbox), new_app(mailbox)

    @old.actor(name="first")
    def first(event: OrderPlaced) -> None: ...

    @new.actor
    def added(event: OrderPlaced) -> None: ...

    mailbox.register(new.routes.declared)
    new.publish(OrderPlaced("A"))
    with working(old):
        until(lambda: queue_of(old).dead == 1, "it to be dead")
    assert mailbox.ended("default")[0].reason is Reason.UNKNOWN_ACTOR


def test_the_limit_of_the_newest_version_holds_while_both_are_at_work(mailbox: Mailbox) -> None:
    together, most = Counter[str](), Counter[str]()
    lock = threading.Lock()
    old, new = new_app(mailbox), new_app(mailbox)

    def declare(app: Callboard, **said: Any) -> None:
        @app.actor(**said)
        def handler(event: OrderPlaced) -> None:
            with lock:
                together["now"] += 1
                most["seen"] = max(most["seen"], together["now"])
            time.sleep(0.002)
            with lock:
                together["now"] -= 1

    declare(old)
    declare(new, concurrency=2)
    with working(old), working(new):
        until(lambda: len(mailbox.info().workers) == 2, "both to be heard of")
        old.broker.confirm_routes()
        for order in orders(60):
            old.publish(order)
        until(lambda: queue_of(old).succeeded == 60, "all to be done")
    assert most["seen"] == 2
