"""Suspects get their turn, whatever else a process has to do, and cost the others little."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, MemoryMailbox
from callboard.actors.hunt import MOST_TOGETHER
from callboard.actors.mailbox.mailbox import Fetched, Mailbox
from callboard.actors.mailbox.suspects import EACH_ALONE, Suspects
from callboard.messages.delivery import Delivery
from tests.actors.rehearsal import FaultyMailbox, OrderPlaced, OrderShipped, new_app, queue_of, until, working


def lose(
    app: Callboard, queue: str = "default", limit: int = 1, suspects: Suspects = EACH_ALONE
) -> Sequence[Delivery]:
    """Let a worker that is never heard of again fetch; its lease has run out when this returns."""
    lost = app.mailbox.fetch(queue, limit, owner="lost", lease_ms=1, suspects=suspects).deliveries
    until(lambda: _is_over(app, queue), "its lease to run out")
    return lost


def _is_over(app: Callboard, queue: str) -> bool:
    return app.mailbox.fetch(queue, 0, owner="observer", lease_ms=1).next_in_ms is None


class Gated(FaultyMailbox):
    """Shows workers nothing of the short queue before it is opened."""

    is_open = False

    def fetch(self, queue: str, limit: int, *, owner: str, **how: Any) -> Fetched:
        if queue == "short" and not self.is_open and owner not in ("lost", "observer"):
            return Fetched([], next_in_ms=1)
        return super().fetch(queue, limit, owner=owner, **how)


class Halting:
    """A handler that stays until it is let go, and one that does not."""

    def __init__(self, app: Callboard) -> None:
        self.seen: list[str] = []
        self.going, self.on = threading.Event(), threading.Event()

        @app.actor(queue="short")
        def short(event: OrderPlaced) -> None:
            self.seen.append(event.order_id)

        @app.actor(queue="long", timeout="60s")
        def long(event: OrderShipped) -> None:
            self.going.set()
            assert self.on.wait(60)

        app.mailbox.register(app.routes.declared)


def suspect(app: Callboard) -> None:
    """Publish what two workers were lost with, so that it must run alone."""
    app.publish(OrderPlaced("suspect"))
    lose(app, "short")
    lose(app, "short", suspects=Suspects(together=1))


def test_a_handler_that_does_not_return_and_a_suspect_do_not_keep_a_process_from_its_work(
    mailbox: Mailbox,
) -> None:
    gated = Gated(mailbox)
    app = new_app(gated)
    halting = Halting(app)
    suspect(app)
    app.publish(OrderShipped("A"))
    app.publish_many([OrderPlaced(str(number)) for number in range(500)])
    with working(app):
        assert halting.going.wait(20)
        gated.is_open = True
        until(lambda: len(halting.seen) >= 500, "all that is no suspect")
        assert "suspect" not in halting.seen
        halting.on.set()
        until(lambda: "suspect" in halting.seen, "the suspect")


def test_a_suspect_has_its_turn_beside_a_handler_that_outlasts_all_patience(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.actors.hunt.FIRST_PATIENCE", 0.05)
    monkeypatch.setattr("callboard.actors.hunt.LONGEST_PATIENCE", 0.2)
    gated = Gated(mailbox)
    app = new_app(gated)
    halting = Halting(app)
    suspect(app)
    app.publish(OrderShipped("A"))
    with working(app):
        assert halting.going.wait(20)
        gated.is_open = True
        until(lambda: "suspect" in halting.seen, "the suspect")
        halting.on.set()


class FailsAlone(FaultyMailbox):
    """Once, a fetch of a suspect alone ends in an error that is not the mailbox's."""

    has_failed = False

    def fetch(self, queue: str, limit: int, **how: Any) -> Fetched:
        if how.get("alone") and not self.has_failed:
            self.has_failed = True
            raise ValueError("an answer that cannot be read")
        return super().fetch(queue, limit, **how)


def test_an_unexpected_error_in_a_hunt_does_not_keep_the_process_from_fetching() -> None:
    app = new_app(FailsAlone(MemoryMailbox()))
    halting = Halting(app)
    suspect(app)
    with capture_logs(), working(app):
        app.publish_many([OrderPlaced(str(number)) for number in range(10)])
        until(lambda: queue_of(app, "short").succeeded == 11, "all of them", within=30)
    assert "suspect" in halting.seen


def test_what_a_lost_worker_held_is_done_together_and_holds_up_nothing(app: Callboard) -> None:
    together, most, seen = 0, 0, list[str]()

    @app.actor
    async def handler(event: OrderPlaced, ctx: Context) -> None:
        nonlocal together, most
        together += ctx._attempt.delivery.suspect
        most = max(most, together)
        await asyncio.sleep(0.02)
        together -= ctx._attempt.delivery.suspect
        seen.append(event.order_id)
        assert ctx.attempt == 1

    app.mailbox.register(app.routes.declared)
    app.publish_many([OrderPlaced(f"lost {number}") for number in range(100)])
    assert len(lose(app, limit=100)) == 100
    with working(app):
        app.publish_many([OrderPlaced(f"fresh {number}") for number in range(100)])
        until(lambda: queue_of(app).succeeded == 200, "all of them")
    # Four rounds of what was lost, and not a hundred.
    assert 1 < most <= MOST_TOGETHER
    assert seen.index("fresh 0") < 150


def test_several_processes_share_what_a_lost_worker_held(mailbox: Mailbox) -> None:
    handlers: list[str] = []
    gate = threading.Barrier(2, timeout=20)

    def process(name: str) -> Callboard:
        app = new_app(mailbox)

        @app.actor(name="handler", timeout="60s")
        def handler(event: OrderPlaced) -> None:
            if len(handlers) < 2:
                handlers.append(name)
                gate.wait()
            handlers.append(name)

        return app

    one, other = process("one"), process("other")
    mailbox.register(one.routes.declared)
    one.publish_many([OrderPlaced(str(number)) for number in range(200)])
    assert len(lose(one, limit=200)) == 200
    with working(one, threads=1), working(other, threads=1):
        until(lambda: queue_of(one).succeeded == 200, "all of them")
    assert set(handlers) == {"one", "other"}


def test_suspects_that_must_run_alone_take_turns_with_the_others(
    app: Callboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.actors.hunt.TURN_SECONDS", 0.1)
    seen: list[str] = []

    @app.actor(queue="short")
    def handler(event: OrderPlaced, ctx: Context) -> None:
        assert ctx._attempt.delivery.alone == event.order_id.startswith("suspect")
        time.sleep(0.02)  # what a handler does
        seen.append(event.order_id)

    app.mailbox.register(app.routes.declared)
    app.publish_many([OrderPlaced(f"suspect {number}") for number in range(30)])
    lose(app, "short", 30)
    lose(app, "short", 30, Suspects(together=30))
    app.publish_many([OrderPlaced(f"fresh {number}") for number in range(30)])
    with working(app, threads=1):
        until(lambda: queue_of(app, "short").succeeded == 60, "all of them")
    last_suspect = max(position for position, name in enumerate(seen) if name.startswith("suspect"))
    first_fresh = min(position for position, name in enumerate(seen) if name.startswith("fresh"))
    assert first_fresh < last_suspect
