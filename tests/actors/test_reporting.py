"""What a worker tells of handlers that have been running for a while, and that it tells of nothing else."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
import redis

from callboard import Batch, Callboard, Context, MemoryMailbox
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.running import MOST_TOLD, RunningAttempt
from callboard.actors.reporting import Reporter
from callboard.actors.worker import WorkerProcess
from callboard.messages.errors import MailboxUnavailable
from callboard.messages.items import ItemCounts
from tests.actors.rehearsal import (
    DEADLINE,
    FaultyMailbox,
    OrderPlaced,
    is_at_rest,
    new_app,
    orders,
    until,
    working,
)


def told(mailbox: Mailbox) -> list[RunningAttempt]:
    """What all workers have told."""
    return [each for report in mailbox.running.reports() for each in report.attempts]


def process_of(app: Callboard) -> WorkerProcess:
    """The worker of an app in this process."""
    process = app.broker._worker
    assert process is not None
    return process


def at_work(app: Callboard) -> list[RunningAttempt]:
    """What the worker of an app would tell now, however short it has been running."""
    return process_of(app).at_work.longest(time.monotonic(), seconds=0.0)


def await_told(app: Callboard, what: Callable[[RunningAttempt], object] = lambda _: True) -> RunningAttempt:
    """The one attempt that is told of, once it is as it should be."""
    until(lambda: [each for each in told(app.mailbox) if what(each)], "what runs to be told")
    (running,) = told(app.mailbox)
    return running


def test_a_handler_that_runs_for_longer_than_a_second_is_told_of_until_it_ends(app: Callboard) -> None:
    go_on = threading.Event()

    @app.actor(queue="slow", timeout="30s")
    def handler(event: OrderPlaced) -> None:
        assert go_on.wait(DEADLINE)

    with working(app):
        receipt = app.publish(OrderPlaced("A-1"))
        running = await_told(app)
        assert (running.delivery, running.queue, running.attempt) == (f"handler:{receipt.id}", "slow", 1)
        assert (running.event, running.limit_ms, running.stuck) == ("order.placed", 30_000, False)
        assert running.elapsed_ms > 1000
        assert (running.together, running.items) == (1, None)
        (report,) = app.mailbox.running.reports()
        assert report.owner in {worker.owner for worker in app.mailbox.info().workers}
        later = await_told(app, lambda each: each.elapsed_ms > running.elapsed_ms)
        assert later.delivery == running.delivery
        go_on.set()
        until(lambda: not told(app.mailbox), "its end to be told")


def test_it_is_told_how_the_items_of_an_event_fare(app: Callboard) -> None:
    go_on = threading.Event()

    @app.actor(timeout="30s")
    def handler(event: OrderPlaced, ctx: Context) -> None:
        for item in ctx.items(["a", "b", "c", "d"]):
            with item:
                if item.value == "c":
                    assert go_on.wait(DEADLINE)

    with working(app):
        app.publish(OrderPlaced("A-1"))
        assert await_told(app).items == ItemCounts(succeeded=2, not_done=2)
        go_on.set()
        until(lambda: is_at_rest(app), "the end")


def test_an_async_handler_is_told_of_by_the_thread_of_its_loop() -> None:
    app, go_on, begun = new_app(), threading.Event(), threading.Event()

    @app.actor(timeout="30s")
    async def handler(event: OrderPlaced) -> None:
        begun.set()
        assert await asyncio.to_thread(go_on.wait, DEADLINE)

    with working(app):
        app.publish(OrderPlaced("A-1"))
        assert begun.wait(DEADLINE)
        (running,) = at_work(app)
        assert (running.thread, running.event) == ("callboard-loop", "order.placed")
        go_on.set()
        until(lambda: not at_work(app), "its end")


def test_a_batch_is_one_attempt_for_many_deliveries() -> None:
    app, go_on, begun = new_app(), threading.Event(), threading.Event()

    @app.actor(timeout="30s", batch=Batch(size=5, wait="20s"))
    def handler(events: list[OrderPlaced]) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    with working(app):
        app.publish_many(orders(5))
        assert begun.wait(DEADLINE)
        (running,) = at_work(app)
        assert running.together == 5
        go_on.set()
        until(lambda: is_at_rest(app), "the end")


@pytest.mark.parametrize("options", [{}, {"timeout": "30s"}], ids=["without options", "with a timeout"])
def test_a_plain_actor_is_told_of_once(options: dict[str, Any]) -> None:
    app, go_on, begun = new_app(), threading.Event(), threading.Event()

    @dramatiq.actor(broker=app.broker, **options)
    def plain(number: int) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    with working(app):
        plain.send(7)
        assert begun.wait(DEADLINE)
        (running,) = at_work(app)
        assert (running.actor, running.queue, running.attempt) == ("plain", "default", 1)
        assert running.limit_ms == (30_000 if options else None)
        go_on.set()
        until(lambda: not at_work(app), "its end")
    assert is_at_rest(app)


def test_a_plain_message_that_a_middleware_skips_is_at_work_no_more() -> None:
    class Skipping(dramatiq.Middleware):
        def before_process_message(self, broker: object, message: object) -> None:
            raise dramatiq.middleware.SkipMessage

    app = new_app(middleware=[Skipping()])

    @dramatiq.actor(broker=app.broker)
    def plain(number: int) -> None: ...

    with working(app):
        plain.send(7)
        until(lambda: is_at_rest(app), "the end")
        assert at_work(app) == []


def test_a_handler_that_goes_on_after_its_timeout_is_stuck() -> None:
    app, go_on = new_app(), threading.Event()

    @app.actor(timeout="100ms")
    def handler(event: OrderPlaced) -> None:
        while not go_on.is_set():
            with contextlib.suppress(BaseException):
                go_on.wait(DEADLINE)

    with working(app, threads=1):
        app.publish(OrderPlaced("A-1"))
        running = await_told(app, lambda each: each.stuck)
        assert running.limit_ms == 100
        assert running.elapsed_ms > 1000
        go_on.set()
        until(lambda: not [each for each in at_work(app) if each.stuck], "its end")


def test_short_handlers_and_idle_workers_tell_nothing() -> None:
    mailbox = FaultyMailbox(MemoryMailbox())
    app = new_app(mailbox)

    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    with working(app):
        process = process_of(app)
        for _ in range(3):
            app.publish_many(orders(50))
            until(lambda: is_at_rest(app), "rest")
            process._reporter.look()
    assert mailbox.calls.count("running") == 0


def test_what_a_worker_has_told_is_taken_back_when_it_stops(mailbox: Mailbox) -> None:
    mailbox.heartbeat("a:1:x")
    running = [RunningAttempt("receipt:A-1", "orders", 1, "Thread-1", 1500)]
    reporter = Reporter(mailbox, owner="a:1:x", longest=lambda _now: running, every=0.001)
    reporter.start()
    until(lambda: told(mailbox) == running, "it to be told")
    reporter.stop()
    assert told(mailbox) == []


def test_of_very_many_only_the_longest_are_told_and_the_others_counted(mailbox: Mailbox) -> None:
    mailbox.heartbeat("a:1:x")
    many = [RunningAttempt(f"receipt:{n}", "orders", 1, "loop", 9000 - n) for n in range(MOST_TOLD + 7)]
    Reporter(mailbox, owner="a:1:x", longest=lambda _now: many).look()
    (report,) = mailbox.running.reports()
    assert ([*report.attempts], report.more) == (many[:MOST_TOLD], 7)


def test_a_mailbox_that_cannot_be_told_stops_nothing() -> None:
    mailbox = FaultyMailbox(MemoryMailbox())
    mailbox.heartbeat("a:1:x")
    mailbox.fail("running", MailboxUnavailable("away"), times=3)
    running = [RunningAttempt("receipt:A-1", "orders", 1, "Thread-1", 1500)]
    reporter = Reporter(mailbox, owner="a:1:x", longest=lambda _now: running, every=0.001)
    reporter.start()
    until(lambda: told(mailbox.mailbox) == running, "it to be told at last")
    reporter.stop()


def test_an_idle_worker_costs_the_server_no_command_for_it(server_url: str, open_url: str) -> None:
    mailbox = RedisMailbox(server_url, workspace="reporting-idle")
    app = new_app(mailbox)

    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    with working(app):
        until(lambda: mailbox.info().workers, "the worker")
        process = process_of(app)
        with redis.Redis.from_url(open_url) as client, client.monitor() as seen:
            for _ in range(5):
                process._reporter.look()
            client.echo("over")
            commands = list(iter(lambda: str((seen.next_command() or {}).get("command")), "ECHO over"))
        assert [each for each in commands if "reporting-idle}:running" in each] == []
    app.close()
