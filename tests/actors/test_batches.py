"""Batch handlers in a worker: gathered without holding anybody up, called once, settled one by one."""

import asyncio
import threading
import time
from collections.abc import Callable

import dramatiq
import pytest

from callboard import Batch, BatchContext, Callboard, Context, Dedup, HandlerTimeout, MemoryDedupStore, Retry
from callboard.actors.room import MOST_AT_ONCE
from callboard.actors.ticket import Ticket
from callboard.messages.delivery import Reason
from tests.actors.rehearsal import (
    AT_ONCE,
    Blob,
    OrderPlaced,
    OrderShipped,
    Witness,
    body_of,
    ended,
    held_by_a_consumer,
    is_at_rest,
    new_app,
    orders,
    post,
    queue_of,
    taken,
    until,
    work_off,
    working,
)
from tests.actors.test_alone import lose

Calls = list[list[str]]


def names(events: list[OrderPlaced]) -> list[str]:
    return [event.order_id for event in events]


def test_events_are_handled_by_the_batch_and_each_is_settled(app: Callboard) -> None:
    calls: Calls = []

    @app.actor(batch=Batch(size=50, wait="50ms"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))

    app.publish_many(orders(120))
    work_off(app, threads=1)
    assert [len(call) for call in calls] == [50, 50, 20]
    assert [name for call in calls for name in call] == [str(number) for number in range(120)]
    assert (queue_of(app).succeeded, queue_of(app).released) == (120, 0)


def test_async_handlers_take_batches_too_and_in_flight_counts_deliveries(app: Callboard) -> None:
    app = new_app(app.mailbox, in_flight=20)
    running: list[int] = []
    most: list[int] = []
    calls: list[int] = []

    @app.actor(batch=Batch(size=10, wait="50ms"))
    async def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        calls.append(len(events))
        running.append(len(events))
        most.append(sum(running))
        await asyncio.sleep(0.01)
        running.remove(len(events))

    app.publish_many(orders(100))
    work_off(app)
    assert queue_of(app).succeeded == 100
    assert sum(calls) == 100
    assert max(calls) == 10
    assert max(most) <= 20


def test_a_batch_larger_than_in_flight_runs_by_itself(app: Callboard) -> None:
    app = new_app(app.mailbox, in_flight=2)
    calls: list[int] = []

    @app.actor(batch=Batch(size=30, wait="50ms"))
    async def load(events: list[OrderPlaced]) -> None:
        calls.append(len(events))

    app.publish_many(orders(60))
    work_off(app)
    assert calls == [30, 30]


def test_a_union_of_contracts_makes_one_batch(app: Callboard) -> None:
    calls: list[list[type]] = []

    @app.actor(batch=Batch(size=2, wait="1m"))
    def load(events: list[OrderPlaced | OrderShipped]) -> None:
        calls.append([type(event) for event in events])

    app.publish(OrderPlaced("a"))
    app.publish(OrderShipped("b"))
    work_off(app)
    assert calls == [[OrderPlaced, OrderShipped]]


def test_a_batch_is_full_by_its_bytes(app: Callboard) -> None:
    calls: list[int] = []

    @app.actor(batch=Batch(size=100, wait="50ms", max_bytes=10_000))
    def load(events: list[Blob]) -> None:
        calls.append(len(events))

    app.publish_many([Blob("x" * 3_000) for _ in range(6)])
    app.publish(Blob("x" * 20_000))
    work_off(app)
    assert sorted(calls) == [1, 3, 3]


def test_gathering_holds_up_neither_threads_nor_other_actors_of_the_queue(app: Callboard) -> None:
    calls: Calls = []
    seen: list[str] = []

    @app.actor(batch=Batch(size=100, wait="1m"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))

    @app.actor
    def single(event: OrderShipped) -> None:
        seen.append(event.order_id)

    app.publish_many(orders(5))
    with working(app, threads=1):
        until(lambda: queue_of(app).leased == 5, "five to be gathered")
        for number in range(20):
            app.publish(OrderShipped(str(number)))
        until(lambda: len(seen) == 20, "the others")
        assert calls == []
    # What was gathered is given back, uncharged and in order, when the worker stops.
    queue = queue_of(app)
    # A consumer whose thread the machine does not run gives others back as well.
    assert (queue.ready, queue.leased, queue.released >= 5, queue.suspects) == (5, 0, True, 0)
    fetched = taken(app).deliveries
    assert [delivery.attempt for delivery in fetched] == [1] * 5
    assert b'"order_id":"0"' in fetched[0].body


def test_what_comes_later_joins_the_batch_that_waits(app: Callboard) -> None:
    calls: Calls = []

    @app.actor(batch=Batch(size=3, wait="1m"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))

    with working(app, threads=2):
        for number in range(3):
            app.publish(OrderPlaced(str(number)))
            until(lambda: queue_of(app).leased == number + 1 or calls, "it to be gathered")  # noqa: B023 - awaited here
        until(lambda: calls, "the batch")
    assert calls == [["0", "1", "2"]]


def test_a_batch_is_run_when_its_first_event_has_waited_long_enough(app: Callboard) -> None:
    began: list[float] = []

    @app.actor(batch=Batch(size=100, wait="150ms"))
    def load(events: list[OrderPlaced]) -> None:
        began.append(time.monotonic())

    with working(app, threads=2):
        published = time.monotonic()
        app.publish_many(orders(3))
        until(lambda: began, "the batch")
    assert began[0] - published >= 0.149
    until(lambda: is_at_rest(app), "rest")


def test_leases_are_renewed_while_a_batch_is_gathered(app: Callboard) -> None:
    app = new_app(app.mailbox, lease="300ms")
    calls: Calls = []

    @app.actor(batch=Batch(size=100, wait="1s"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))

    app.publish_many(orders(3))
    work_off(app)
    assert calls == [["0", "1", "2"]]
    assert queue_of(app).takeovers == 0


def test_while_every_thread_is_busy_a_batch_grows_on_and_is_full_at_last(app: Callboard) -> None:
    calls: list[int] = []
    started, go = threading.Event(), threading.Event()

    @app.actor(batch=Batch(size=10, wait="1ms"), timeout="20s")
    def load(events: list[OrderPlaced]) -> None:
        calls.append(len(events))
        started.set()
        assert go.wait(20)

    app.publish(OrderPlaced("first"))
    with working(app, threads=1):
        assert started.wait(20)
        app.publish_many(orders(10))
        go.set()
        until(lambda: is_at_rest(app), "rest")
    assert calls == [1, 10]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_batch_larger_than_a_fetch_is_full_all_the_same_if_so_many_wait(
    app: Callboard, is_async: bool
) -> None:
    calls: list[int] = []

    def load(events: list[OrderPlaced]) -> None:
        calls.append(len(events))

    async def aload(events: list[OrderPlaced]) -> None:
        calls.append(len(events))

    app.actor(batch=Batch(size=1000, wait=0), name="load")(aload if is_async else load)
    app.publish_many(orders(1000))
    work_off(app, threads=1)
    assert MOST_AT_ONCE < 1000
    assert calls == [1000]


def test_a_slow_batch_handler_leaves_to_other_workers_what_it_has_no_thread_for(app: Callboard) -> None:
    started, go = threading.Event(), threading.Event()

    @app.actor(batch=Batch(size=10, wait="1ms"), timeout="20s")
    def load(events: list[OrderPlaced]) -> None:
        started.set()
        assert go.wait(20)

    app.publish_many(orders(500))
    with working(app, threads=1):
        assert started.wait(20)
        until(lambda: queue_of(app).leased == 10, "all but the batch that runs to be given back")
        go.set()


def test_only_the_culprit_is_charged_and_the_others_succeed(app: Callboard) -> None:
    calls: Calls = []
    attempts: list[int] = []

    @app.actor(batch=Batch(size=16, wait="1s"), retry=AT_ONCE)
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        calls.append(names(events))
        attempts.extend(ctx.of(event).attempt for event in events if event.order_id != "5")
        if "5" in calls[-1]:
            raise ValueError("5 is bad")

    app.publish_many(orders(16))
    work_off(app)
    queue = queue_of(app)
    assert (queue.succeeded, queue.dead, queue.retried) == (15, 1, 2)
    assert set(attempts) == {1}
    record = ended(app)
    assert (record.reason, record.history.attempts) == (Reason.MAX_ATTEMPTS, 3)
    assert len(calls) == 9 + 2


def test_an_unreadable_event_is_dead_alone_wherever_it_stands(app: Callboard) -> None:
    calls: Calls = []

    @app.actor(name="handler", batch=Batch(size=5, wait="1s"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))

    for position in range(5):
        post(app, b"{" if position == 2 else body_of(OrderPlaced(str(position))))
    work_off(app)
    assert calls == [["0", "1", "3", "4"]]
    assert (ended(app).reason, queue_of(app).succeeded) == (Reason.INVALID_BODY, 4)


def test_a_batch_of_unreadable_events_calls_nobody(app: Callboard) -> None:
    calls: Calls = []

    @app.actor(name="handler", batch=Batch(size=3, wait="1s"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))

    for _ in range(3):
        post(app, b"{")
    work_off(app)
    assert (calls, queue_of(app).dead) == ([], 3)


def test_a_duplicate_of_a_dedup_store_drops_out_of_the_batch(app: Callboard) -> None:
    store, calls = MemoryDedupStore(), []

    @app.actor(batch=Batch(size=3, wait="50ms"), dedup=Dedup(key="order_id", store=store))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(sorted(names(events)))

    app.publish_many([OrderPlaced("a"), OrderPlaced("b")])
    work_off(app)
    app.publish_many([OrderPlaced("a"), OrderPlaced("c")])
    work_off(app)
    assert calls == [["a", "b"], ["c"]]
    assert is_at_rest(app)


def test_an_async_batch_that_outlasts_the_grace_time_is_given_back_uncharged(app: Callboard) -> None:
    app = new_app(app.mailbox, grace="50 ms")
    started = threading.Event()

    @app.actor(batch=Batch(size=4, wait="1s"), timeout="50s")
    async def load(events: list[OrderPlaced]) -> None:
        started.set()
        await asyncio.sleep(60)

    app.publish_many(orders(4))
    with working(app):
        assert started.wait(20)
    assert (queue_of(app).ready, queue_of(app).leased) == (4, 0)
    assert [delivery.attempt for delivery in taken(app).deliveries] == [1] * 4


def test_a_worker_that_stops_does_not_go_on_halving(app: Callboard) -> None:
    calls: Calls = []

    @app.actor(batch=Batch(size=8, wait="1s"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))
        consumer.worker.stopping = True
        raise ValueError("no")

    app.publish_many(orders(8))
    with held_by_a_consumer(app) as consumer:
        consumer._accept(taken(app, 8).deliveries)
        consumer.drain(Ticket(consumer))
    assert len(calls) == 1
    assert (queue_of(app).ready, queue_of(app).released) == (8, 8)


def slow_after(limit: int) -> Callable[[list[OrderPlaced]], None]:
    """A handler whose time is up with more events than this."""

    def load(events: list[OrderPlaced]) -> None:
        until_seconds = time.monotonic() + (20 if len(events) > limit else 0)
        while time.monotonic() < until_seconds:
            time.sleep(0.001)

    return load


def test_a_batch_that_takes_too_long_is_halved_for_its_parts_may_not(app: Callboard) -> None:
    app.actor(batch=Batch(size=8, wait="1s"), timeout="100ms", name="load")(slow_after(2))
    app.publish_many(orders(8))
    work_off(app)
    queue = queue_of(app)
    assert (queue.succeeded, queue.retried, queue.dead) == (8, 0, 0)


def test_the_timeout_is_of_each_call_and_may_be_set_for_it(app: Callboard) -> None:
    left: list[float] = []

    @app.actor(batch=Batch(size=2, wait="1s"), timeout="10s", retry=Retry.never())
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        left.append(ctx.remaining().total_seconds())
        ctx.set_timeout("20s")
        left.append(ctx.remaining().total_seconds())
        if len(events) > 1:
            raise ValueError("halve it")

    app.publish_many(orders(2))
    work_off(app)
    assert all(9 < each <= 10 for each in left[::2])
    assert all(19 < each <= 20 for each in left[1::2])
    assert len(left) == 6


@pytest.fixture
def soon_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard.middleware.deadline.STUCK_AFTER", 0.05)


@pytest.mark.usefixtures("soon_stuck")
def test_of_a_stuck_batch_each_is_run_alone_the_next_time_and_only_the_culprit_is_charged(
    app: Callboard,
) -> None:
    go = threading.Event()
    starts: list[tuple[list[str], list[int]]] = []

    @app.actor(batch=Batch(size=4, wait="1s"), timeout="50ms", retry=Retry.every("1ms", max_attempts=2))
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        starts.append((names(events), [ctx.of(event).attempt for event in events]))
        if "2" in names(events):
            go.wait(20)  # in C, where no exception arrives

    app.publish_many(orders(4))
    with working(app, threads=4):
        until(lambda: is_at_rest(app), "each to be run alone")
        go.set()
    assert starts[0] == (["0", "1", "2", "3"], [1, 1, 1, 1])
    assert sorted(starts[1:]) == [(["0"], [1]), (["1"], [1]), (["2"], [1]), (["2"], [2]), (["3"], [1])]
    queue = queue_of(app)
    assert (queue.succeeded, queue.dead, queue.takeovers, queue.fenced) == (3, 1, 0, 0)
    assert (ended(app).reason, ended(app).history.attempts) == (Reason.MAX_ATTEMPTS, 2)


@pytest.mark.usefixtures("soon_stuck")
def test_what_waits_behind_a_stuck_half_is_given_back_uncharged(app: Callboard) -> None:
    go = threading.Event()
    calls: Calls = []

    @app.actor(batch=Batch(size=4, wait="1s"), timeout="50ms", retry=Retry.every("1ms"))
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        calls.append(names(events))
        if len(calls) == 1:
            raise ValueError("halve it")
        if len(calls) == 2:
            ctx.reject(events[0], "said before it was stuck")
            go.wait(20)

    app.publish_many(orders(4))
    with working(app, threads=4):
        until(lambda: is_at_rest(app), "rest")
        go.set()
    assert calls[:2] == [["0", "1", "2", "3"], ["0", "1"]]
    assert sorted(name for call in calls[2:] for name in call) == ["1", "2", "3"]
    queue = queue_of(app)
    assert (queue.succeeded, queue.dead, queue.retried, queue.released) == (3, 1, 1, 2)
    assert ended(app).detail == "said before it was stuck"


@pytest.mark.usefixtures("soon_stuck")
def test_an_async_batch_that_holds_up_its_loop_is_given_up_too(app: Callboard) -> None:
    calls: Calls = []

    @app.actor(batch=Batch(size=2, wait="1s"), timeout="50ms", retry=Retry.every("1ms"))
    async def load(events: list[OrderPlaced]) -> None:
        calls.append(names(events))
        if len(calls) == 1:
            time.sleep(0.5)  # noqa: ASYNC251 - what is tried here

    app.publish_many(orders(2))
    work_off(app)
    assert calls[0] == ["0", "1"]
    assert sorted(calls[1:]) == [["0"], ["1"]]
    queue = queue_of(app)
    assert (queue.succeeded, queue.retried, queue.fenced) == (2, 2, 0)


def test_suspects_are_gathered_and_those_that_run_alone_are_a_batch_of_one(app: Callboard) -> None:
    calls: list[tuple[int, bool]] = []

    @app.actor(batch=Batch(size=10, wait="20ms"))
    def load(events: list[OrderPlaced]) -> None:
        process = app.broker._worker
        assert process is not None
        calls.append((len(events), process.alone is not None))

    app.mailbox.register(app.routes.declared)
    app.publish_many(orders(4))
    lose(app, limit=4)
    with working(app):
        until(lambda: is_at_rest(app), "rest")
    assert sum(count for count, _ in calls) == 4
    assert all(count == 1 for count, alone in calls if alone)


def test_a_hunt_is_not_kept_waiting_by_what_is_gathered(app: Callboard) -> None:
    alone: list[str] = []

    @app.actor(batch=Batch(size=100, wait="1m"))
    def load(events: list[OrderShipped]) -> None: ...

    @app.actor
    def single(event: OrderPlaced, ctx: Context) -> None:
        process = app.broker._worker
        assert process is not None
        alone.append(event.order_id if process.alone is not None else "beside others")

    app.mailbox.register(app.routes.declared)
    app.publish(OrderPlaced("suspect"))
    lose(app)  # seen by a worker that wants each alone: it must run so
    for number in range(3):
        app.publish(OrderShipped(str(number)))
    with working(app):
        until(lambda: alone, "the suspect")
        until(lambda: queue_of(app).leased == 3, "the others to be gathered again")
    assert queue_of(app).ready == 3


def test_hooks_fire_once_for_each_event_of_a_batch(app: Callboard) -> None:
    witness = Witness()
    app.broker.add_middleware(witness)

    @app.actor(batch=Batch(size=4, wait="1s"), retry=Retry.never())
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        ctx.fail(events[1], ValueError("no"))

    app.publish_many(orders(4))
    work_off(app)
    told = [what for what, _ in witness.told]
    assert sorted(told) == ["after"] * 3 + ["before"] * 4 + ["failed"]
    assert len({name for _, name in witness.told}) == 4


def test_what_a_middleware_skips_is_not_in_the_batch(app: Callboard) -> None:
    calls: list[int] = []

    class Picky(dramatiq.Middleware):
        """Refuses the first that comes."""

        refused = 0

        def before_process_message(self, broker: object, message: object) -> None:
            if not self.refused:
                self.refused += 1
                raise dramatiq.middleware.SkipMessage("not this one")

    app.broker.add_middleware(Picky())

    @app.actor(batch=Batch(size=3, wait="1s"))
    def load(events: list[OrderPlaced]) -> None:
        calls.append(len(events))

    app.publish_many(orders(3))
    work_off(app)
    assert calls == [2]
    assert (queue_of(app).succeeded, queue_of(app).discarded) == (2, 1)


def test_the_more_urgent_batch_goes_first(app: Callboard) -> None:
    order: list[str] = []

    @app.actor(batch=Batch(size=2, wait="1m"), priority=5)
    def late(events: list[OrderPlaced]) -> None:
        order.append("late")

    @app.actor(batch=Batch(size=2, wait="1m"), priority=1)
    def early(events: list[OrderShipped]) -> None:
        order.append("early")

    app.mailbox.register(app.routes.declared)
    app.publish_many([OrderPlaced("a"), OrderPlaced("b"), OrderShipped("c"), OrderShipped("d")])
    with held_by_a_consumer(app) as consumer:
        consumer._accept(taken(app, 4).deliveries)
        consumer.drain(Ticket(consumer))
    assert order == ["early", "late"]


def test_a_handler_of_one_that_times_out_in_a_batch_says_so(memory_app: Callboard) -> None:
    memory_app.actor(batch=Batch(size=1), timeout="50ms", retry=Retry.never(), name="load")(slow_after(0))
    memory_app.publish(OrderPlaced("a"))
    work_off(memory_app)
    error = ended(memory_app).history.last_error
    assert error is not None
    assert error.type == HandlerTimeout.__name__


def test_a_batch_handler_can_be_called_as_the_function_it_is(memory_app: Callboard) -> None:
    @memory_app.actor
    def load(events: list[OrderPlaced]) -> int:
        return len(events)

    assert load(orders(3)) == 3
