"""What a worker makes of deliveries: every one ends in an outcome that is written, whatever goes wrong."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import dramatiq
import pytest
import structlog
from structlog.testing import capture_logs

from callboard import Callboard, Context, DiscardEvent, Event, RejectEvent, Retry, RetryLater
from callboard.actors.consumer import CallboardConsumer
from callboard.actors.mailbox.mailbox import EndedRecord, Mailbox, Posting, Target
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.ticket import Ticket
from callboard.actors.worker import WorkerProcess
from callboard.messages.codec import encode
from callboard.messages.delivery import SUCCEEDED, Outcome, OutcomeKind, Reason
from callboard.messages.errors import MailboxError, MailboxRefused, MailboxUnavailable
from callboard.middleware.stack import Stack, default_layers
from tests.actors.rehearsal import (
    AT_ONCE,
    FaultyMailbox,
    OrderPlaced,
    OrderShipped,
    is_at_rest,
    new_app,
    queue_of,
    until,
    work_off,
    working,
)

_ids = count(1)

Layering = Generator[None, Outcome, Outcome]


def post(app: Callboard, body: bytes, actor: str = "handler", event: str = "order.placed") -> None:
    """Put bytes into the mailbox that no publisher has looked at."""
    target = Target(actor, "default", f"raw-{next(_ids)}", 0)
    app.mailbox.publish([Posting(event, body, b"0" * 16, (target,))])


def body_of(event: Event, source: str = "elsewhere") -> bytes:
    return encode(event, id=f"id-{next(_ids)}", source=source).body


def ended(app: Callboard) -> EndedRecord:
    """The only record of a dead or discarded delivery."""
    (record,) = app.mailbox.ended("default")
    return record


# What a handler's end means.


def test_a_handler_that_returns_has_succeeded(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> str:
        return "ignored"

    app.publish(OrderPlaced("A"))
    work_off(app)
    queue = queue_of(app)
    assert (queue.accepted, queue.succeeded, queue.retried, queue.dead, queue.released) == (1, 1, 0, 0, 0)


def test_many_events_for_many_actors_are_each_handled_once(app: Callboard) -> None:
    seen: list[tuple[str, str]] = []

    @app.actor(queue="one")
    def first(event: OrderPlaced) -> None:
        seen.append(("first", event.order_id))

    @app.actor(queue="two", priority=5)
    def second(event: OrderPlaced | OrderShipped) -> None:
        seen.append(("second", event.order_id))

    @app.actor(queue="two")
    async def third(event: OrderShipped) -> None:
        seen.append(("third", event.order_id))

    app.publish_many([OrderPlaced(f"p{number}") for number in range(300)])
    with working(app):
        app.publish_many([OrderShipped(f"s{number}") for number in range(300)])
        until(lambda: is_at_rest(app), "rest")
    assert len(seen) == len(set(seen)) == 1200
    assert (queue_of(app, "one").succeeded, queue_of(app, "two").succeeded) == (300, 900)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_a_handler_that_raises_is_retried_and_the_thread_lives_on(
    app: Callboard, error: BaseException
) -> None:
    starts: list[int] = []

    @app.actor(retry=Retry.every("1 ms", on=BaseException))
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise error

    app.publish(OrderPlaced("A"))
    work_off(app, threads=1)
    assert starts == [1, 2, 3]
    assert (queue_of(app).retried, queue_of(app).succeeded) == (2, 1)


def test_the_last_attempt_that_is_allowed_ends_dead_with_its_first_and_last_error(app: Callboard) -> None:
    @app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        raise (ValueError if ctx.attempt == 1 else KeyError)(f"try {ctx.attempt}")

    app.publish(OrderPlaced("A"), dedup_key="k")
    work_off(app)
    record = ended(app)
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.MAX_ATTEMPTS)
    assert record.id.startswith("handler:k#")
    assert record.history.attempts == 3
    assert record.history.first_error is not None
    assert record.history.last_error is not None
    assert (record.history.first_error.type, record.history.first_error.message) == ("ValueError", "try 1")
    assert (record.history.last_error.type, record.history.last_error.message) == ("KeyError", "'try 3'")


def test_an_event_that_is_too_old_for_another_attempt_ends_dead(app: Callboard) -> None:
    @app.actor(retry=Retry.every("10 ms", give_up_after="50 ms"))
    def handler(event: OrderPlaced) -> None:
        raise ValueError("no")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert (ended(app).kind, ended(app).reason) == (OutcomeKind.DEAD, Reason.MAX_AGE)


def test_an_event_whose_key_ended_dead_may_be_published_again(app: Callboard) -> None:
    @app.actor(retry=Retry.never())
    def handler(event: OrderPlaced) -> None:
        if event.total < 2:
            raise ValueError("too little")

    app.publish(OrderPlaced("A", 1.0), dedup_key="k")
    work_off(app)
    receipt = app.publish(OrderPlaced("A", 2.0), dedup_key="k")
    assert [each.duplicate for each in receipt.deliveries] == [False]
    work_off(app)
    assert (queue_of(app).dead, queue_of(app).succeeded) == (1, 1)


# Signals.


def test_retry_later_waits_as_long_as_the_handler_asks(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        raise RetryLater("1 hour", "the partner sleeps")

    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: queue_of(app).retried, "the retry")
    assert queue_of(app).scheduled == 1
    fetched = app.mailbox.fetch("default", 1, owner="w", lease_ms=1000)
    assert fetched.deliveries == []
    assert fetched.next_in_ms is not None
    assert 3_500_000 < fetched.next_in_ms <= 3_600_000


def test_retry_later_counts_as_an_attempt(app: Callboard) -> None:
    @app.actor(retry=Retry.every("1h", max_attempts=3, on=()))
    def handler(event: OrderPlaced) -> None:
        raise RetryLater(timedelta(milliseconds=1))

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert (ended(app).reason, ended(app).history.attempts) == (Reason.MAX_ATTEMPTS, 3)


@pytest.mark.parametrize(
    ("signal", "kind"),
    [(DiscardEvent("sold out"), OutcomeKind.DISCARDED), (RejectEvent("sold out"), OutcomeKind.DEAD)],
)
def test_a_signal_ends_the_delivery_at_once_and_keeps_the_words(
    app: Callboard, signal: Exception, kind: OutcomeKind
) -> None:
    @app.actor(retry=Retry.every("1h"))
    def handler(event: OrderPlaced) -> None:
        raise signal

    app.publish(OrderPlaced("A"))
    work_off(app)
    record = ended(app)
    assert (record.kind, record.reason, record.detail) == (kind, Reason.REJECTED, "sold out")
    assert record.history.attempts == 1


def test_a_retry_later_that_cannot_be_read_keeps_to_the_limits(memory_app: Callboard) -> None:
    starts: list[int] = []

    @memory_app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        if ctx.attempt > 20:
            raise RejectEvent("this must end")
        raise RetryLater("soon")

    memory_app.publish(OrderPlaced("A"))
    with capture_logs():
        work_off(memory_app)
    assert len(starts) <= 3


class Speechless(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


STRANGE = {
    "an exception without words": Speechless(),
    "an error that is no valid Unicode": ValueError("\ud800"),
    "words that are no valid Unicode": RejectEvent("\ud800"),
    "words that are no text": RejectEvent(ValueError("no")),  # type: ignore[arg-type]  # a handler's mistake
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_exception_hurts_only_its_own_delivery(server_url: str, what: str) -> None:
    app = new_app(RedisMailbox(server_url, workspace=f"strange-{next(_ids)}"))

    @app.actor(retry=Retry.never())
    def handler(event: OrderPlaced) -> None:
        if event.order_id == "bad":
            raise STRANGE[what]

    app.publish_many([OrderPlaced("bad"), OrderPlaced("good")])
    try:
        with working(app, threads=1):
            until(lambda: is_at_rest(app), "rest", within=2)
        assert (queue_of(app).dead, queue_of(app).succeeded) == (1, 1)
    finally:
        app.close()


# What cannot be handled.

UNREADABLE = {
    "not JSON": b"\xff\x00 no",
    "not an envelope": b'{"a": 1}',
    "trailing data": body_of(OrderPlaced("A")) + b"}",
    "too deep": b"[" * 100_000,
    "wrong type": body_of(OrderPlaced("A")).replace(b'"order_id":"A"', b'"order_id":7'),
    "field missing": body_of(OrderPlaced("A")).replace(b'"order_id":"A",', b""),
    "empty": b"",
}


@pytest.mark.parametrize("position", [0, 4, 8])
@pytest.mark.parametrize("what", UNREADABLE)
def test_an_unreadable_body_is_dead_alone_with_its_bytes_wherever_it_stands(what: str, position: int) -> None:
    app, seen = new_app(), []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    for number in range(9):
        if number == position:
            post(app, UNREADABLE[what])
        else:
            app.publish(OrderPlaced(str(number)))
    work_off(app)
    assert sorted(seen) == [str(number) for number in range(9) if number != position]
    record = ended(app)
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.INVALID_BODY)
    assert record.stored.endswith(UNREADABLE[what])
    assert queue_of(app).succeeded == 8


def test_each_kind_of_unhandleable_delivery_is_dead_with_its_own_reason_and_its_bytes(app: Callboard) -> None:
    seen: list[str] = []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    shipped, newer = body_of(OrderShipped("A")), body_of(OrderPlaced("A"))
    app.publish(OrderPlaced("first"))
    post(app, b"{", "handler")
    app.publish(OrderPlaced("second"))
    post(app, shipped, "handler")
    post(app, newer, "nobody")
    app.publish(OrderPlaced("third"))
    work_off(app)
    assert sorted(seen) == ["first", "second", "third"]
    dead = {record.reason: record for record in app.mailbox.ended("default")}
    assert dead.keys() == {Reason.INVALID_BODY, Reason.UNKNOWN_CONTRACT, Reason.UNKNOWN_ACTOR}
    assert dead[Reason.INVALID_BODY].stored.endswith(b"{")
    assert dead[Reason.UNKNOWN_CONTRACT].stored.endswith(shipped)
    assert dead[Reason.UNKNOWN_ACTOR].stored.endswith(newer)
    assert all(record.kind is OutcomeKind.DEAD for record in dead.values())


def test_an_unreadable_body_for_an_async_actor_is_dead_too(app: Callboard) -> None:
    seen: list[str] = []

    @app.actor
    async def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    app.publish(OrderPlaced("first"))
    post(app, b"{")
    app.publish(OrderPlaced("second"))
    work_off(app)
    assert sorted(seen) == ["first", "second"]
    assert ended(app).reason is Reason.INVALID_BODY


def test_an_attempt_is_not_charged_when_no_handler_was_started(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    post(memory_app, b"{")
    work_off(memory_app)
    assert ended(memory_app).history.attempts == 0


# Layers.


def layered(layer: Any) -> Callboard:
    """An app with one more layer, the outermost."""
    app = new_app()
    (stack,) = [middleware for middleware in app.broker.middleware if isinstance(middleware, Stack)]
    stack.layers = (layer, *default_layers(app.catalog))
    return app


def test_layers_stand_around_the_handler_and_see_its_outcome() -> None:
    told: list[str] = []

    def witness(attempt: Any) -> Layering:
        told.append("before")
        outcome = yield
        told.append(str(outcome.kind))
        return outcome

    app = layered(witness)

    @app.actor
    def handler(event: OrderPlaced) -> None:
        told.append("handler")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert told == ["before", "handler", "succeeded"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_layer_that_yields_twice_is_told_and_strands_nothing(is_async: bool) -> None:
    told: list[int] = []

    def faulty(attempt: Any) -> Layering:
        outcome = yield
        if attempt.delivery.attempt == 1:
            yield
        return outcome

    app = layered(faulty)

    def handler(event: OrderPlaced, ctx: Context) -> None:
        told.append(ctx.attempt)

    async def ahandler(event: OrderPlaced, ctx: Context) -> None:
        told.append(ctx.attempt)

    app.actor(name="handler")(ahandler if is_async else handler)
    app.publish(OrderPlaced("A"))
    with capture_logs() as logs:
        work_off(app)
    assert told == [1, 2]
    assert queue_of(app).succeeded == 1
    (line,) = [line for line in logs if line["event"] == "a layer failed"]
    assert line["actor"] == "handler"


def test_a_layer_may_answer_before_the_body_is_read() -> None:
    def answering(attempt: Any) -> Layering:
        yield from ()
        return SUCCEEDED

    app = layered(answering)

    @app.actor
    def handler(event: OrderPlaced) -> None:
        raise AssertionError("a layer has answered")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert queue_of(app).succeeded == 1


def test_a_layer_that_always_fails_keeps_to_the_limits_of_the_actor() -> None:
    starts: list[int] = []

    def faulty(attempt: Any) -> Layering:
        outcome = yield
        if attempt.delivery.attempt <= 20:
            raise OSError("no")
        return outcome

    app = layered(faulty)

    @app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)

    app.publish(OrderPlaced("A"))
    with capture_logs():
        work_off(app)
    assert len(starts) <= 3


# Other dramatiq middleware.


class Witness(dramatiq.Middleware):
    """Tells which hooks fired, for which message."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def before_process_message(self, broker: Any, message: Any) -> None:
        self.told.append(("before", message.message_id))

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        self.told.append(("failed" if exception else "after", message.message_id))

    def after_skip_message(self, broker: Any, message: Any) -> None:
        self.told.append(("skipped", message.message_id))


def test_hooks_of_other_middleware_fire_once_for_each_event(app: Callboard) -> None:
    witness = Witness()
    app.broker.add_middleware(witness)

    @app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        if event.order_id == "B" and ctx.attempt == 1:
            raise ValueError("no")

    for name in "ABC":
        app.publish(OrderPlaced(name), dedup_key=name)
    work_off(app)
    assert Counter(witness.told) == {
        ("before", "A"): 1,
        ("after", "A"): 1,
        ("before", "C"): 1,
        ("after", "C"): 1,
        ("before", "B"): 2,
        ("failed", "B"): 1,
        ("after", "B"): 1,
    }


def test_hooks_fire_for_async_handlers_as_well(memory_app: Callboard) -> None:
    witness = Witness()
    memory_app.broker.add_middleware(witness)

    @memory_app.actor
    async def handler(event: OrderPlaced) -> None: ...

    memory_app.publish(OrderPlaced("A"), dedup_key="A")
    work_off(memory_app)
    assert witness.told == [("before", "A"), ("after", "A")]


def test_a_hook_that_fails_is_logged_and_the_handler_runs(
    memory_app: Callboard, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(dramatiq.Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            raise OSError("no gauge")

    memory_app.broker.add_middleware(Broken())

    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    memory_app.publish(OrderPlaced("A"))
    work_off(memory_app)
    assert queue_of(memory_app).succeeded == 1
    assert "Unexpected failure in before_process_message" in caplog.text


def test_a_middleware_that_skips_an_event_discards_it(memory_app: Callboard) -> None:
    class Skips(Witness):
        def before_process_message(self, broker: Any, message: Any) -> None:
            raise dramatiq.middleware.SkipMessage("not today")

    witness = Skips()
    memory_app.broker.add_middleware(witness)

    @memory_app.actor
    def handler(event: OrderPlaced) -> None:
        raise AssertionError("skipped")

    memory_app.publish(OrderPlaced("A"), dedup_key="A")
    work_off(memory_app)
    assert (ended(memory_app).kind, ended(memory_app).reason) == (OutcomeKind.DISCARDED, Reason.REJECTED)
    assert "not today" in (ended(memory_app).detail or "")
    assert witness.told == [("skipped", "A")]


def test_without_middleware_that_has_hooks_none_are_looked_for(memory_app: Callboard) -> None:
    class Silent(dramatiq.Middleware):
        def after_worker_boot(self, broker: Any, worker: Any) -> None: ...

    assert not memory_app.broker.hooks.any
    memory_app.broker.add_middleware(Silent())
    assert not memory_app.broker.hooks.any
    memory_app.broker.add_middleware(Witness())
    assert memory_app.broker.hooks.any


@pytest.mark.parametrize("hook", ["before_process_message", "after_process_message", "after_skip_message"])
def test_one_hook_alone_is_enough_to_be_found(memory_app: Callboard, hook: str) -> None:
    memory_app.broker.add_middleware(type("Single", (dramatiq.Middleware,), {hook: lambda *_, **__: None})())
    assert memory_app.broker.hooks.any


def test_middleware_never_sees_a_ticket(memory_app: Callboard) -> None:
    class Sees(dramatiq.Middleware):
        def __init__(self) -> None:
            self.actors: set[str] = set()

        def before_process_message(self, broker: Any, message: Any) -> None:
            self.actors.add(message.actor_name)

        def before_ack(self, broker: Any, message: Any) -> None:
            self.actors.add(message.actor_name)

    sees = Sees()
    memory_app.broker.add_middleware(sees)

    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    memory_app.publish(OrderPlaced("A"))
    work_off(memory_app)
    assert sees.actors == {"handler"}


@contextmanager
def held_by_a_consumer(app: Callboard) -> Iterator[CallboardConsumer]:
    """A consumer without threads, which the test fetches and drains for."""
    process = WorkerProcess(app.broker, app.mailbox, threads=1)
    process.settler.start()
    yield CallboardConsumer(process, "default", 50)
    process.settler.stop(10)
    process.loop._loop.close()


def test_of_what_a_worker_holds_lower_priorities_go_first(app: Callboard) -> None:
    order: list[str] = []

    def declare(name: str, priority: int) -> None:
        def handler(event: OrderPlaced) -> None:
            order.append(f"{name} {event.order_id}")

        app.actor(name=name, priority=priority)(handler)

    declare("last", 9)
    declare("first", -1)
    declare("middle", 5)
    app.publish_many([OrderPlaced("1"), OrderPlaced("2")])
    with held_by_a_consumer(app) as consumer:
        consumer._accept(app.mailbox.fetch("default", 10, owner="w", lease_ms=10_000).deliveries)
        consumer.drain(Ticket(consumer))
    assert order == ["first 1", "first 2", "middle 1", "middle 2", "last 1", "last 2"]
    assert queue_of(app).succeeded == 6


# Stopping.


def test_a_worker_that_stops_lets_its_handlers_end_and_gives_back_the_rest(app: Callboard) -> None:
    starts: list[str] = []
    started, go = threading.Event(), threading.Event()

    @app.actor
    def handler(event: OrderPlaced) -> None:
        starts.append(event.order_id)
        started.set()
        assert go.wait(10)

    app.publish_many([OrderPlaced(str(number)) for number in range(20)])
    with working(app, threads=2):
        assert started.wait(10)
        threading.Timer(0.05, go.set).start()
    queue = queue_of(app)
    assert (queue.succeeded, queue.ready) == (len(starts), 20 - len(starts))
    assert (queue.leased, queue.scheduled, queue.suspects, queue.takeovers) == (0, 0, 0, 0)
    fetched = app.mailbox.fetch("default", 100, owner="w", lease_ms=10_000)
    assert {delivery.attempt for delivery in fetched.deliveries} <= {1}


def test_a_thread_of_a_worker_that_stops_ends_after_the_handler_it_is_in(app: Callboard) -> None:
    seen: list[str] = []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)
        consumer.worker.stopping = True

    app.publish_many([OrderPlaced(str(number)) for number in range(5)])
    with held_by_a_consumer(app) as consumer:
        consumer._accept(app.mailbox.fetch("default", 5, owner="w", lease_ms=10_000).deliveries)
        consumer.drain(Ticket(consumer))
        consumer.close()
    assert seen == ["0"]
    assert (queue_of(app).succeeded, queue_of(app).released, queue_of(app).leased) == (1, 4, 0)


def test_what_was_fetched_and_not_started_goes_back_in_its_order(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    app.publish_many([OrderPlaced(str(number)) for number in range(10)])
    with held_by_a_consumer(app) as consumer:
        consumer._accept(app.mailbox.fetch("default", 6, owner="w", lease_ms=10_000).deliveries)
        consumer.close()
        until(lambda: queue_of(app).released == 6, "all to be given back")
    names = [
        json.loads(each.body)["data"]["order_id"]
        for each in app.mailbox.fetch("default", 10, owner="w", lease_ms=10_000).deliveries
    ]
    assert names == [str(number) for number in range(10)]


def test_plain_messages_that_were_handed_out_and_not_started_go_back(app: Callboard) -> None:
    @dramatiq.actor(broker=app.broker)
    def plain(number: int) -> None: ...

    for number in range(4):
        plain.send(number)
    with held_by_a_consumer(app) as consumer:
        consumer._accept(app.mailbox.fetch("default", 3, owner="w", lease_ms=10_000).deliveries)
        handed_out = next(consumer)
        assert handed_out is not None
        consumer.requeue([handed_out])
        consumer.close()
    assert (queue_of(app).ready, queue_of(app).leased, queue_of(app).released) == (4, 0, 3)


def test_a_worker_can_be_followed_by_another(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    for _ in range(3):
        app.publish_many([OrderPlaced(str(number)) for number in range(20)])
        work_off(app)
    assert queue_of(app).succeeded == 60
    assert app.mailbox.info().workers == ()


def test_a_worker_is_listed_while_it_runs(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    with working(app):
        until(lambda: len(app.mailbox.info().workers) == 1, "the heartbeat")
    assert app.mailbox.info().workers == ()


# When the mailbox fails.

FAULTS = [MailboxUnavailable("no answer"), MailboxRefused("out of memory")]


def faulty(mailbox: Mailbox) -> tuple[Callboard, FaultyMailbox, list[str]]:
    """An app on a mailbox whose methods can be made to fail, and what its handler saw."""
    wrapped = FaultyMailbox(mailbox)
    app, seen = new_app(wrapped), []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    return app, wrapped, seen


@pytest.mark.parametrize("error", FAULTS, ids=["unavailable", "refused"])
@pytest.mark.parametrize("method", ["fetch", "wait", "settle", "renew", "heartbeat"])
def test_a_failing_mailbox_is_survived_and_each_handler_runs_once(
    mailbox: Mailbox, method: str, error: MailboxError
) -> None:
    app, wrapped, seen = faulty(mailbox)
    wrapped.fail(method, error, times=3)
    with working(app):
        app.publish_many([OrderPlaced(str(number)) for number in range(5)])
        until(lambda: is_at_rest(app), "rest")
    assert sorted(seen) == ["0", "1", "2", "3", "4"]
    assert queue_of(app).succeeded == 5
    assert queue_of(app).takeovers == 0


@pytest.mark.parametrize("error", FAULTS, ids=["unavailable", "refused"])
def test_no_handler_runs_while_fetching_fails(mailbox: Mailbox, error: MailboxError) -> None:
    app, wrapped, seen = faulty(mailbox)
    app.publish(OrderPlaced("A"))
    wrapped.fail("fetch", error, times=100_000)
    with working(app):
        until(lambda: wrapped.calls.count("fetch") >= 3, "three tries")
    assert seen == []
    assert (queue_of(app).ready, queue_of(app).leased) == (1, 0)
    wrapped.faults.clear()
    work_off(app)
    assert seen == ["A"]


def test_a_worker_does_not_start_while_the_mailbox_cannot_be_reached() -> None:
    app, wrapped, _ = faulty(new_app().mailbox)
    wrapped.fail("register", MailboxUnavailable("no answer"))
    with pytest.raises(dramatiq.BrokerConnectionError, match="no answer"):
        dramatiq.Worker(app.broker, worker_threads=1).start()
    app.publish(OrderPlaced("A"))
    work_off(app)


def test_a_success_that_could_not_be_written_before_the_end_is_told_and_started_again(
    mailbox: Mailbox,
) -> None:
    wrapped = FaultyMailbox(mailbox)
    app = new_app(wrapped, lease="300 ms", grace="50 ms")
    fences: list[int] = []

    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        fences.append(ctx.fence)
        if len(fences) == 1:
            wrapped.fail("settle", MailboxUnavailable("gone"), times=10_000)

    app.publish(OrderPlaced("A"))
    with capture_logs() as logs, working(app):
        until(lambda: "settle" in wrapped.calls, "the first try to settle")
    assert any("could not be written" in line["event"] for line in logs)
    wrapped.faults.clear()
    work_off(app)
    assert len(fences) == 2
    assert fences[1] > fences[0]
    assert (queue_of(app).succeeded, queue_of(app).takeovers) == (1, 1)


def test_a_long_handler_keeps_its_lease(app: Callboard) -> None:
    short = new_app(app.mailbox, lease="900 ms")
    starts: list[int] = []
    beats = threading.Event()

    @short.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        beats.wait(2.8)  # as long as three leases

    short.publish(OrderPlaced("A"))
    work_off(short)
    assert starts == [1]
    assert (queue_of(short).takeovers, queue_of(short).succeeded) == (0, 1)


# Secrets.

SECRET = "s3cr3t-horse-battery"  # noqa: S105 - planted, to be looked for


class Login(Event, name="user.logged-in"):
    password: str
    note: str = ""


@pytest.fixture
def everything_written(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that is logged from here on, by structlog and by logging, at every level."""
    lines: list[str] = []
    before = structlog.get_config()

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        lines.append(repr(event) + "".join(str(value) for value in event.values()))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, keep])
    caplog.set_level(logging.DEBUG)
    logging.getLogger("dramatiq").setLevel(logging.DEBUG)
    yield lambda: "\n".join([*lines, caplog.text, *(repr(record.__dict__) for record in caplog.records)])
    logging.getLogger("dramatiq").setLevel(logging.NOTSET)
    structlog.configure(**before)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_secret_in_a_body_is_written_nowhere(
    app: Callboard, everything_written: Callable[[], str], is_async: bool
) -> None:
    app.broker.add_middleware(Witness())
    shown: list[str] = []

    def fate(event: Login, ctx: Context) -> None:
        shown.extend((repr(event), str(event), repr(ctx), repr(ctx._attempt.delivery), repr(ctx._attempt)))
        shown.append(repr(ctx._attempt.envelope))
        ctx.logger.debug("handling")
        match event.note, ctx.attempt:
            case "reject", _:
                raise RejectEvent("unwanted")
            case "later", 1:
                raise RetryLater(timedelta(milliseconds=1))
            case "fail", _:
                raise ValueError("no")

    async def afate(event: Login, ctx: Context) -> None:
        fate(event, ctx)

    app.actor(name="fate", retry=AT_ONCE)(afate if is_async else fate)
    for note in ("", "reject", "later", "fail"):
        app.publish(Login(SECRET, note))
    valid = body_of(Login(SECRET))
    for broken in (valid[:-9], valid.replace(b'"note":""', b'"note":7'), b'{"x":"%s"}' % SECRET.encode()):
        post(app, broken, "fate", "user.logged-in")
    post(app, valid, "nobody", "user.logged-in")
    post(app, valid.replace(b"user.logged-in", b"user.logged-out"), "fate")
    app.publish(Login(SECRET), dedup_key="k")
    with pytest.raises(Exception, match="payload_conflict") as conflict:
        app.publish(Login(SECRET + "x"), dedup_key="k")
    work_off(app)
    assert SECRET not in str(conflict.value)
    assert len(app.mailbox.ended("default")) == 7
    assert "handling" in everything_written()
    assert SECRET not in everything_written()
    assert SECRET not in "".join(shown)
    for record in app.mailbox.ended("default"):
        assert SECRET not in (record.detail or "")


def test_a_secret_in_a_body_is_in_no_repr_of_what_carries_it(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: Login) -> None:
        raise RejectEvent("unwanted")

    prepared = memory_app._publisher.prepare(Login(SECRET))
    memory_app.publish(Login(SECRET))
    work_off(memory_app)
    carriers = [prepared, memory_app._publisher.routed(prepared), memory_app.mailbox.ended("default")[0]]
    assert [type(each).__name__ for each in carriers if SECRET in repr(each)] == []
