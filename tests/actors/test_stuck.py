"""A handler that cannot be interrupted: its start is charged, and its own late end is fenced off."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dramatiq
import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, Dedup, Event, MemoryDedupStore, MemoryMailbox, Retry
from callboard.actors.mailbox.memory import VirtualClock
from callboard.actors.mailbox.suspects import Suspects
from callboard.messages.delivery import Outcome
from callboard.middleware.attempt import Attempt
from callboard.middleware.layer import Layering
from tests.actors.rehearsal import (
    AT_ONCE,
    ended,
    held_by_a_consumer,
    new_app,
    queue_of,
    until,
    work_off,
    working,
)
from tests.middleware.attempts import attempt


class Ping(Event, name="ping", key="who"):
    """What the handler does not come back from."""

    who: str = "anyone"
    number: int = 0


@pytest.fixture(autouse=True)
def soon_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard.middleware.deadline.STUCK_AFTER", 0.05)


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Lets handlers end that wait for it in C, where no exception arrives."""
    made = threading.Event()
    yield made
    made.set()


def test_each_start_of_a_stuck_handler_is_an_attempt_and_the_last_one_is_dead(
    app: Callboard, go: threading.Event
) -> None:
    """Invariant I15: the attempt number is the number of starts that could have done something."""
    attempts: list[int] = []

    @app.actor(timeout="50ms", retry=AT_ONCE)
    def handler(event: Ping, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        go.wait(20)

    app.publish(Ping())
    with working(app, threads=4):
        until(lambda: queue_of(app).dead == 1, "the last attempt to be given up")
        go.set()
    record = ended(app)
    assert attempts == [1, 2, 3]
    assert (record.reason, record.history.attempts) == ("max_attempts", 3)
    assert record.history.last_error is not None
    assert record.history.last_error.type == "HandlerTimeout"
    assert (queue_of(app).takeovers, queue_of(app).retried) == (0, 2)


def test_the_late_end_of_a_stuck_handler_is_dropped_with_what_it_published(
    app: Callboard, go: threading.Event
) -> None:
    """Invariant I4, for a holder that is not another process but a thread of its own."""
    fences: list[int] = []

    @app.actor(timeout="50ms", retry=AT_ONCE)
    def handler(event: Ping, ctx: Context) -> None:
        fences.append(ctx.fence)
        if len(fences) == 1:
            go.wait(20)
            ctx.publish(Late())

    @app.actor
    def late(event: Late) -> None: ...

    app.publish(Ping())
    with capture_logs() as logs, working(app, threads=2):
        until(lambda: queue_of(app).succeeded == 1, "the other start to succeed")
        go.set()
        until(lambda: "fenced off" in told(logs), "the first start to end")
    state = queue_of(app)
    assert fences == sorted(set(fences))
    assert (state.accepted, state.succeeded, state.retried, state.leased) == (1, 1, 1, 0)
    assert told(logs).count("stuck") == 1


class Late(Event, name="late"):
    """What a handler publishes too late."""


def told(logs: Sequence[Mapping[str, object]]) -> list[str]:
    return [str(line["event"]).partition(":")[0] for line in logs]


def test_the_layers_see_what_was_settled_in_the_place_of_a_stuck_handler_and_once(
    memory_app: Callboard, go: threading.Event
) -> None:
    seen: list[str] = []

    @memory_app.layer
    def watching(attempt: Attempt) -> Layering:
        outcome: Outcome = yield
        seen.append(outcome.kind.value)
        return outcome

    store = MemoryDedupStore(takeover_limit=0)
    starts: list[int] = []

    @memory_app.actor(timeout="50ms", retry=AT_ONCE, dedup=Dedup(store=store))
    def handler(event: Ping) -> None:
        starts.append(1)
        if len(starts) == 1:
            go.wait(20)

    memory_app.publish(Ping())
    with capture_logs() as logs, working(memory_app, threads=2):
        until(lambda: queue_of(memory_app).succeeded == 1, "the other start to succeed, its key let go")
        go.set()
        until(lambda: "fenced off" in told(logs), "the first start to end")
    assert seen == ["retried", "succeeded"]


def test_an_async_handler_that_will_not_be_cancelled_is_charged_too(memory_app: Callboard) -> None:
    attempts: list[int] = []
    go = threading.Event()

    @memory_app.actor(timeout="50ms", retry=AT_ONCE)
    async def handler(event: Ping, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        while ctx.attempt == 1 and not go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    memory_app.publish(Ping())
    with capture_logs() as logs, working(memory_app):
        until(lambda: queue_of(memory_app).succeeded == 1, "the other start to succeed")
        go.set()
        until(lambda: "fenced off" in told(logs), "the first start to end")
    assert attempts == [1, 2]
    assert queue_of(memory_app).retried == 1


@pytest.mark.parametrize("decided_by", ["callboard", "dramatiq"])
def test_a_stuck_plain_actor_is_charged_by_whoever_decides_its_retries(
    app: Callboard, go: threading.Event, decided_by: str
) -> None:
    retry: dict[str, Any] = (
        {"retry": AT_ONCE} if decided_by == "callboard" else {"max_retries": 2, "min_backoff": 1}
    )
    starts: list[int] = []

    @dramatiq.actor(broker=app.broker, timeout="50ms", **retry)
    def handler() -> None:
        starts.append(1)
        go.wait(20)

    handler.send()
    with working(app, threads=4):
        until(lambda: queue_of(app).dead == 1, "the last attempt to be given up")
        go.set()
    record = ended(app)
    assert (len(starts), record.history.attempts, record.reason) == (3, 3, "max_attempts")
    assert record.history.last_error is not None
    assert record.history.last_error.type == "HandlerTimeout"
    assert (queue_of(app).retried, queue_of(app).fenced, queue_of(app).leased) == (2, 0, 0)


def test_a_stuck_plain_actor_that_ends_late_is_not_settled_again(
    memory_app: Callboard, go: threading.Event
) -> None:
    starts: list[int] = []

    @dramatiq.actor(broker=memory_app.broker, timeout="50ms", max_retries=3, min_backoff=1)
    def handler() -> None:
        starts.append(1)
        if len(starts) == 1:
            go.wait(20)

    handler.send()
    with capture_logs() as logs, working(memory_app, threads=2):
        until(lambda: queue_of(memory_app).succeeded == 1, "the other start to succeed")
        go.set()
        until(lambda: "fenced off" in told(logs), "the first start to end")
    state = queue_of(memory_app)
    assert (state.accepted, state.succeeded, state.retried, state.fenced) == (1, 1, 1, 0)


def test_a_retry_keeps_the_lane_of_a_stuck_handler_and_its_dead_letter_frees_it(
    app: Callboard, go: threading.Event
) -> None:
    started: list[tuple[int, int]] = []

    @app.actor(timeout="50ms", retry=Retry.every("1 ms", max_attempts=2), ordered=True)
    def handler(event: Ping, ctx: Context) -> None:
        started.append((event.number, ctx.attempt))
        if event.number == 0:
            go.wait(20)

    for number in range(3):
        app.publish(Ping("ann", number))
    with working(app, threads=4):
        until(lambda: queue_of(app).succeeded == 2, "those behind it to be done while it is stuck")
        assert not go.is_set()
        go.set()
    assert started == [(0, 1), (0, 2), (1, 1), (2, 1)]


def test_a_worker_whose_threads_are_all_stuck_says_so_and_leaves_the_rest_to_others(
    go: threading.Event,
) -> None:
    mailbox = MemoryMailbox()
    app, other = new_app(mailbox), new_app(mailbox)
    done: list[int] = []

    def declare(app: Callboard) -> None:
        @app.actor(timeout="50ms", retry=Retry.never())
        def handler(event: Ping) -> None:
            if event.who == "stuck":
                go.wait(20)
            done.append(event.number)

    declare(app)
    declare(other)
    app.publish(Ping("stuck"))
    app.publish(Ping("stuck"))
    with capture_logs() as logs, working(app, threads=2):
        until(lambda: queue_of(app).dead == 2, "both to be given up")
        until(lambda: any("every thread" in str(line["event"]) for line in logs), "the worker to say so")
        for number in range(20):
            app.publish(Ping("well", number))
        work_off(other)
        assert sorted(done) == list(range(20))
        go.set()


@pytest.mark.parametrize("is_stuck", [False, True])
def test_what_runs_beside_a_stuck_handler_is_not_alone(is_stuck: bool) -> None:
    """Invariant I15: the crash of a process that holds a stuck handler may be that handler's."""
    clock = VirtualClock()
    app = new_app(MemoryMailbox(clock=clock))

    @app.actor
    def handler(event: Ping) -> None: ...

    app.publish(Ping())
    for _ in range(2):
        app.mailbox.fetch("default", 1, owner="lost", lease_ms=1, suspects=Suspects(together=8))
        clock.advance(2)
    with held_by_a_consumer(app) as consumer:
        if is_stuck:
            consumer.worker.stuck.has_ended(attempt())  # before the watch has told that it is stuck
        assert consumer._fetch_alone()
        (held,) = consumer.worker.held
    assert held.alone is not is_stuck


def test_the_items_that_a_stuck_handler_was_done_with_are_not_given_to_the_next_attempt(
    app: Callboard, go: threading.Event
) -> None:
    given: list[tuple[int, str]] = []

    @app.actor(timeout="50ms", retry=AT_ONCE)
    def handler(event: Ping, ctx: Context) -> None:
        for item in ctx.items("abc"):
            with item:
                given.append((ctx.attempt, item.value))
                if given[-1] == (1, "b"):
                    go.wait(20)

    app.publish(Ping())
    with capture_logs() as logs, working(app, threads=2):
        until(lambda: queue_of(app).succeeded == 1, "the other start to succeed")
        go.set()
        until(lambda: "fenced off" in told(logs), "the first start to end")
    assert given == [(1, "a"), (1, "b"), (2, "b"), (2, "c")]
