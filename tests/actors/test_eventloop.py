"""Async handlers share one thread: many wait at a time, and none is lost when the worker stops."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, DiscardEvent, RejectEvent, Retry, RetryLater
from callboard.actors.eventloop import EventLoop
from callboard.actors.mailbox.memory import SystemClock
from callboard.messages.delivery import Delivery, Reason
from tests.actors.rehearsal import (
    AT_ONCE,
    OrderPlaced,
    OrderShipped,
    is_at_rest,
    new_app,
    queue_of,
    until,
    work_off,
    working,
)


def orders(count: int) -> list[OrderPlaced]:
    return [OrderPlaced(str(number)) for number in range(count)]


class Crowd:
    """Handlers wait in it until it is let go, and it tells how many there were at a time."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.threads: set[int] = set()
        self.go = threading.Event()

    async def wait(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.threads.add(threading.get_ident())
        try:
            while not self.go.is_set():  # noqa: ASYNC110 - the test's thread sets it
                await asyncio.sleep(0.002)
        finally:
            self.now -= 1


def crowded(app: Callboard) -> Crowd:
    """An actor whose handlers wait in a crowd."""
    crowd = Crowd()

    @app.actor
    async def handler(event: OrderPlaced) -> None:
        await crowd.wait()

    return crowd


def test_many_handlers_wait_at_a_time_on_one_thread(app: Callboard) -> None:
    crowd = crowded(app)
    app.publish_many(orders(60))
    with working(app, threads=2):
        until(lambda: crowd.now == 60, "sixty handlers at a time")
        crowd.go.set()
        until(lambda: is_at_rest(app), "rest")
    assert len(crowd.threads) == 1
    assert queue_of(app).succeeded == 60


def test_no_more_than_in_flight_run_at_a_time_and_all_have_their_turn(app: Callboard) -> None:
    app = new_app(app.mailbox, in_flight=5)
    crowd = crowded(app)
    app.publish_many(orders(40))
    with working(app):
        until(lambda: crowd.now == 5, "five handlers at a time")
        crowd.go.set()
        until(lambda: is_at_rest(app), "rest")
    assert crowd.most == 5
    assert queue_of(app).succeeded == 40


def test_a_worker_leases_about_as_much_as_it_can_run(app: Callboard) -> None:
    app = new_app(app.mailbox, in_flight=5)
    crowd = crowded(app)
    app.publish_many(orders(500))
    with working(app, threads=2):
        until(lambda: crowd.now == 5, "five handlers at a time")
        pause = threading.Event()
        pause.wait(0.3)  # time enough for it to lease too much
        leased = queue_of(app).leased
        crowd.go.set()
        until(lambda: is_at_rest(app), "rest")
    assert leased <= 50


def test_plain_handlers_go_on_while_async_ones_wait(app: Callboard) -> None:
    crowd, seen = crowded(app), []

    @app.actor
    def plain(event: OrderShipped) -> None:
        seen.append(event.order_id)

    app.publish_many(orders(20))
    with working(app, threads=1):
        until(lambda: crowd.now == 20, "the crowd")
        app.publish(OrderShipped("A"))
        until(lambda: seen, "the plain handler")
        crowd.go.set()
        until(lambda: is_at_rest(app), "rest")


def test_an_exception_is_retried_and_at_last_dead(app: Callboard) -> None:
    starts: list[int] = []

    @app.actor(retry=AT_ONCE)
    async def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        await asyncio.sleep(0)
        raise ValueError("no")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert starts == [1, 2, 3]
    (record,) = app.mailbox.ended("default")
    assert (record.reason, record.history.attempts) == (Reason.MAX_ATTEMPTS, 3)


def test_signals_mean_the_same_in_an_async_handler(app: Callboard) -> None:
    signals = {"later": RetryLater(1), "discard": DiscardEvent("old"), "reject": RejectEvent("bad")}

    @app.actor(retry=AT_ONCE)
    async def handler(event: OrderPlaced, ctx: Context) -> None:
        if event.order_id != "later" or ctx.attempt == 1:
            raise signals[event.order_id]

    app.publish_many([OrderPlaced(name) for name in signals])
    work_off(app)
    queue = queue_of(app)
    assert (queue.retried, queue.succeeded, queue.discarded, queue.dead) == (1, 1, 1, 1)


def test_a_handler_that_a_stopping_worker_waited_for_is_settled(app: Callboard) -> None:
    crowd = crowded(app)
    app.publish_many(orders(3))
    with working(app):
        until(lambda: crowd.now == 3, "three handlers")
        threading.Timer(0.1, crowd.go.set).start()
    assert (queue_of(app).succeeded, queue_of(app).released) == (3, 0)


def test_what_does_not_end_in_the_grace_time_is_cancelled_and_given_back_uncharged(app: Callboard) -> None:
    app = new_app(app.mailbox, grace="50 ms")
    crowd = crowded(app)
    app.publish_many(orders(3))
    with working(app):
        until(lambda: crowd.now == 3, "three handlers")
    assert crowd.now == 0
    queue = queue_of(app)
    assert (queue.ready, queue.leased, queue.succeeded, queue.retried) == (3, 0, 0, 0)
    fetched = app.mailbox.fetch("default", 10, owner="w", lease_ms=1000)
    assert [delivery.attempt for delivery in fetched.deliveries] == [1, 1, 1]
    assert not any(delivery.alone for delivery in fetched.deliveries)


def test_what_waits_in_line_when_the_worker_stops_is_given_back_uncharged(app: Callboard) -> None:
    app = new_app(app.mailbox, grace="50 ms", in_flight=2)
    crowd = crowded(app)
    app.publish_many(orders(30))
    with working(app):
        until(lambda: crowd.now == 2, "two handlers")
    queue = queue_of(app)
    assert (queue.ready, queue.leased, queue.succeeded) == (30, 0, 0)


def test_a_handler_that_will_not_be_cancelled_does_not_keep_the_worker(app: Callboard) -> None:
    app = new_app(app.mailbox, grace="50 ms")
    started, go = threading.Event(), threading.Event()

    @app.actor
    async def handler(event: OrderPlaced) -> None:
        started.set()
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                assert go.wait(0.01) is False

    app.publish(OrderPlaced("A"))
    with working(app):
        assert started.wait(10)
    assert app.broker._worker is None


def test_a_handler_whose_own_task_was_cancelled_has_failed(memory_app: Callboard) -> None:
    starts: list[int] = []

    @memory_app.actor(retry=AT_ONCE)
    async def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        if len(starts) > 20:
            raise RejectEvent("this must end")
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    memory_app.publish(OrderPlaced("A"))
    work_off(memory_app)
    assert len(starts) <= 3
    (record,) = memory_app.mailbox.ended("default")
    assert record.reason in (Reason.MAX_ATTEMPTS, Reason.REJECTED)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_an_async_handler_that_raises_system_exit_takes_nobody_down(error: BaseException) -> None:
    app, seen = new_app(), []

    @app.actor(retry=Retry.never())
    async def handler(event: OrderPlaced) -> None:
        if event.order_id == "bad":
            raise error
        seen.append(event.order_id)

    app.publish(OrderPlaced("bad"))
    with working(app) as worker:
        process = app.broker._worker
        assert process is not None
        until(lambda: queue_of(app).leased == 0 or not process.loop._thread.is_alive(), "the first to end")
        survived = process.loop._thread.is_alive()
        if survived:
            app.publish(OrderPlaced("good"))
            until(lambda: is_at_rest(app), "rest")
        else:
            worker.logger.info("the loop is gone")
    assert survived
    assert seen == ["good"]


# The loop by itself.


class Stage:
    """A loop that tells what runs on it."""

    def __init__(self, *, in_flight: int = 2, perform: Callable[[Delivery], None] | None = None) -> None:
        self.started: list[str] = []
        self.freed = 0
        self.crowd = Crowd()
        self._perform = perform
        self.loop = EventLoop(self._run, in_flight=in_flight, freed=self._free)
        self.loop.start()

    async def _run(self, delivery: Delivery) -> None:
        self.started.append(delivery.key)
        if self._perform:
            self._perform(delivery)
        await self.crowd.wait()

    def _free(self) -> None:
        self.freed += 1


def delivery(key: str) -> Delivery:
    return Delivery(f"handler:{key}", "default", 1, b"", SystemClock())


def test_deliveries_start_in_order_and_the_others_wait_in_line() -> None:
    stage = Stage(in_flight=2)
    assert stage.loop.room == 2
    stage.loop.put([delivery(key) for key in "abcd"])
    until(lambda: stage.crowd.now == 2, "two of them")
    assert stage.started == ["a", "b"]
    assert stage.loop.room == -2
    assert [each.key for each in stage.loop.clear()] == ["c", "d"]
    assert stage.loop.room == 0
    stage.crowd.go.set()
    until(lambda: stage.loop.room == 2, "both to end")
    stage.loop.stop(5)
    assert stage.freed >= 1
    assert stage.loop.started == 2


def test_the_line_moves_up_when_one_ends_and_room_is_told_when_it_is_empty() -> None:
    stage = Stage(in_flight=1)
    stage.crowd.go.set()
    stage.loop.put([delivery(key) for key in "abc"])
    until(lambda: stage.loop.started == 3 and stage.loop.room == 1, "all three")
    assert stage.started == ["a", "b", "c"]
    until(lambda: stage.freed, "the word that there is room")
    stage.loop.stop(5)


def test_a_fault_in_the_loops_own_work_is_told_and_the_next_runs(caplog: pytest.LogCaptureFixture) -> None:
    def fails(one: Delivery) -> None:
        if one.key == "bad":
            raise OSError("settling failed")

    stage = Stage(in_flight=1, perform=fails)
    stage.crowd.go.set()
    stage.loop.put([delivery("bad"), delivery("good")])
    until(lambda: stage.started == ["bad", "good"] and stage.loop.room == 1, "both")
    stage.loop.stop(5)
    assert "a delivery's task failed" in caplog.text


def test_a_loop_that_never_started_stops_at_once() -> None:
    loop = EventLoop(Stage._run, in_flight=1, freed=lambda: None)  # type: ignore[arg-type]  # never called
    loop.stop(5)
    loop._loop.close()


def test_a_failing_layer_of_an_async_handler_is_logged_without_a_traceback_of_the_loop(
    memory_app: Callboard,
) -> None:
    @memory_app.actor(retry=Retry.never())
    async def handler(event: OrderPlaced) -> None:
        raise ValueError("no")

    with capture_logs() as logs:
        memory_app.publish(OrderPlaced("A"))
        work_off(memory_app)
    (line,) = [line for line in logs if line.get("actor") == "handler"]
    assert (line["event"], line["reason"], line["error"]) == ("dead", "max_attempts", "ValueError")
