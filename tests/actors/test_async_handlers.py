"""Async handlers share one thread: many wait at a time, and none is lost when the worker stops."""

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, DiscardEvent, RejectEvent, Retry, RetryLater
from callboard.messages.delivery import Reason
from tests.actors.crowd import crowded
from tests.actors.rehearsal import (
    AT_ONCE,
    OrderPlaced,
    OrderShipped,
    ended,
    is_at_rest,
    new_app,
    orders,
    queue_of,
    taken,
    until,
    work_off,
    working,
)


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
    record = ended(app)
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
    fetched = taken(app, 10)
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
    # Whatever a handler raises is a failed attempt, unless its policy says otherwise.
    assert starts == [1, 2, 3]
    assert ended(memory_app).reason is Reason.MAX_ATTEMPTS


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
