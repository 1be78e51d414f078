"""Plain dramatiq actors and messages work on Callboard's broker as they do on dramatiq's own."""

import threading
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import ActorNotFound, QueueJoinTimeout, QueueNotFound

from callboard import Callboard, CallboardBroker
from callboard.actors.mailbox.mailbox import Mailbox, Posting, Target
from callboard.messages.delivery import OutcomeKind, Reason
from callboard.messages.errors import ConfigurationError, MailboxUnavailable
from tests.actors.rehearsal import (
    FaultyMailbox,
    OrderPlaced,
    new_app,
    queue_of,
    until,
    work_off,
    working,
)


def recorder(app: Callboard, name: str = "record", **options: Any) -> tuple[Any, list[Any]]:
    """A plain actor and what it was called with."""
    seen: list[Any] = []

    @dramatiq.actor(broker=app.broker, actor_name=name, **options)
    def record(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs))

    return record, seen


def test_a_message_that_is_sent_is_processed_once(app: Callboard) -> None:
    record, seen = recorder(app)
    record.send(1, "two", three=[3])
    work_off(app)
    assert seen == [((1, "two"), {"three": [3]})]
    assert (queue_of(app).accepted, queue_of(app).succeeded) == (1, 1)


def test_each_send_is_a_delivery_of_its_own_even_of_the_same_message(app: Callboard) -> None:
    record, seen = recorder(app)
    message = record.message("same")
    for _ in range(3):
        app.broker.enqueue(message)
    work_off(app)
    assert seen == 3 * [(("same",), {})]
    assert queue_of(app).duplicates == 0


def test_plain_actors_and_event_actors_share_a_queue(app: Callboard) -> None:
    record, seen = recorder(app)

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    for number in range(50):
        record.send(number)
        app.publish(OrderPlaced(str(number)))
    work_off(app)
    assert len(seen) == 100
    assert queue_of(app).succeeded == 100


def test_a_delay_is_kept_by_the_mailbox_and_not_in_a_workers_memory(app: Callboard) -> None:
    record, seen = recorder(app)
    record.send_with_options(args=("later",), delay=3_600_000)
    record.send_with_options(args=("soon",), delay=50)
    with working(app):
        until(lambda: seen, "the one that is due")
    assert seen == [(("soon",), {})]
    assert queue_of(app).scheduled == 1


def test_a_negative_delay_is_none(app: Callboard) -> None:
    record, seen = recorder(app)
    app.broker.enqueue(record.message("now"), delay=-5)
    work_off(app)
    assert len(seen) == 1


def test_an_actor_that_fails_is_retried_by_dramatiqs_middleware_and_then_dead(app: Callboard) -> None:
    starts: list[int] = []

    @dramatiq.actor(broker=app.broker, max_retries=2, min_backoff=1, max_backoff=2)
    def fails() -> None:
        starts.append(1)
        raise ValueError("no luck")

    fails.send()
    work_off(app)
    assert len(starts) == 3
    (record,) = app.mailbox.ended("default")
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.MAX_ATTEMPTS)
    # Each retry is a message of its own, which dramatiq's middleware sends.
    assert (queue_of(app).accepted, queue_of(app).succeeded, queue_of(app).dead) == (3, 2, 1)


def test_a_message_that_is_dead_keeps_its_error_and_its_bytes(app: Callboard) -> None:
    @dramatiq.actor(broker=app.broker, max_retries=0)
    def fails(what: str) -> None:
        raise ValueError("no luck")

    fails.send("argument")
    work_off(app)
    (record,) = app.mailbox.ended("default")
    assert b'"argument"' in record.stored


def test_the_record_of_a_dead_message_tells_its_error(memory_app: Callboard) -> None:
    @dramatiq.actor(broker=memory_app.broker, max_retries=0)
    def fails() -> None:
        raise ValueError("no luck")

    fails.send()
    work_off(memory_app)
    (record,) = memory_app.mailbox.ended("default")
    assert record.history.last_error is not None
    assert (record.history.last_error.type, record.history.last_error.message) == ("ValueError", "no luck")


def test_a_retry_that_could_not_be_sent_is_not_lost() -> None:
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))
    starts: list[int] = []

    @dramatiq.actor(broker=app.broker, max_retries=2, min_backoff=1, max_backoff=2)
    def fails() -> None:
        starts.append(1)
        if len(starts) == 1:
            mailbox.fail("publish", MailboxUnavailable("gone"))
            raise ValueError("no luck")

    fails.send()
    work_off(app)
    assert len(starts) == 2


def test_an_expected_exception_goes_to_the_dead_at_once(app: Callboard) -> None:
    starts: list[int] = []

    @dramatiq.actor(broker=app.broker, throws=(KeyError,))
    def fails() -> None:
        starts.append(1)
        raise KeyError("expected")

    fails.send()
    work_off(app)
    assert len(starts) == 1
    assert queue_of(app).dead == 1


def test_pipelines_hand_results_on(app: Callboard) -> None:
    results: list[int] = []

    @dramatiq.actor(broker=app.broker)
    def double(number: int = 0) -> int:
        return 2 * number

    @dramatiq.actor(broker=app.broker)
    def keep(number: int = 0) -> None:
        results.append(number)

    dramatiq.pipeline([double.message(5), double.message(), keep.message()], broker=app.broker).run()
    with working(app):
        until(lambda: results, "the end of the pipeline")
    assert results == [20]


def test_a_group_sends_all_of_its_members(app: Callboard) -> None:
    record, seen = recorder(app)
    dramatiq.group([record.message(number) for number in range(10)], broker=app.broker).run()
    work_off(app)
    assert sorted(args[0] for args, _ in seen) == list(range(10))


def test_callbacks_are_sent_on_success_and_on_failure(app: Callboard) -> None:
    told: list[str] = []

    @dramatiq.actor(broker=app.broker)
    def on_success(message: dict[str, Any], result: Any) -> None:
        told.append(f"success {result}")

    @dramatiq.actor(broker=app.broker)
    def on_failure(message: dict[str, Any], error: dict[str, Any]) -> None:
        told.append(f"failure {error['type']}")

    @dramatiq.actor(broker=app.broker, max_retries=0)
    def work(number: int) -> int:
        return 10 // number

    for number in (5, 0):
        work.send_with_options(args=(number,), on_success=on_success, on_failure=on_failure)
    with working(app):
        until(lambda: len(told) == 2, "both callbacks")
    assert sorted(told) == ["failure ZeroDivisionError", "success 2"]


def test_join_waits_until_a_queue_holds_nothing(app: Callboard) -> None:
    record, seen = recorder(app)
    for number in range(20):
        record.send_with_options(args=(number,), delay=1 + number)
    with working(app):
        app.broker.join("default", timeout=20_000)
        assert len(seen) == 20


def test_join_gives_up_after_its_timeout(app: Callboard) -> None:
    record, _ = recorder(app)
    record.send()
    with pytest.raises(QueueJoinTimeout):
        app.broker.join("default", timeout=50)


def test_flush_discards_what_waits(app: Callboard) -> None:
    record, seen = recorder(app)
    for number in range(5):
        record.send_with_options(args=(number,), delay=1000 * number)
    app.broker.flush("default")
    assert (queue_of(app).ready, queue_of(app).scheduled, queue_of(app).discarded) == (0, 0, 5)
    record.send("after")
    app.broker.flush_all()
    work_off(app)
    assert seen == []


@pytest.mark.parametrize("call", ["join", "flush", "consume"])
def test_a_queue_nobody_declared_is_not_found(memory_app: Callboard, call: str) -> None:
    with pytest.raises(QueueNotFound):
        getattr(memory_app.broker, call)("nowhere")


def test_a_message_for_a_queue_nobody_declared_is_refused(memory_app: Callboard) -> None:
    record, _ = recorder(memory_app)
    with pytest.raises(QueueNotFound):
        memory_app.broker.enqueue(record.message().copy(queue_name="nowhere"))
    assert memory_app.mailbox.info().queues == ()


def test_consuming_without_a_worker_says_what_is_missing(memory_app: Callboard) -> None:
    recorder(memory_app)
    with pytest.raises(dramatiq.BrokerConnectionError, match=r"start a dramatiq\.Worker"):
        memory_app.broker.consume("default")


def test_a_message_for_an_unknown_actor_is_dead_and_its_neighbours_are_processed(app: Callboard) -> None:
    record, seen = recorder(app)
    stranger: dramatiq.Message[Any] = dramatiq.Message(
        queue_name="default", actor_name="stranger", args=("x",), kwargs={}, options={}
    )
    record.send(1)
    app.broker.enqueue(stranger)
    record.send(2)
    work_off(app)
    assert sorted(args[0] for args, _ in seen) == [1, 2]
    (dead,) = app.mailbox.ended("default")
    assert dead.reason is Reason.UNKNOWN_ACTOR
    assert dead.stored.endswith(stranger.encode())


def test_bytes_that_are_no_message_are_dead_and_their_neighbours_are_processed(app: Callboard) -> None:
    record, seen = recorder(app)
    record.send(1)
    app.mailbox.publish([Posting("x", b"{no message", b"0" * 16, (Target("record", "default", "k", 0),))])
    record.send(2)
    work_off(app)
    assert sorted(args[0] for args, _ in seen) == [1, 2]
    (dead,) = app.mailbox.ended("default")
    assert (dead.reason, dead.stored[-11:]) == (Reason.INVALID_BODY, b"{no message")


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"queue_name": "default"}', b"7"])
def test_json_that_is_no_message_is_dead_too(memory_app: Callboard, body: bytes) -> None:
    record, seen = recorder(memory_app)
    target = Target("record", "default", "k", 0)
    memory_app.mailbox.publish([Posting("x", body, b"0" * 16, (target,))])
    record.send(1)
    work_off(memory_app)
    assert len(seen) == 1
    assert [dead.reason for dead in memory_app.mailbox.ended("default")] == [Reason.INVALID_BODY]


def test_an_actor_whose_name_holds_a_colon_is_refused(memory_app: Callboard) -> None:
    with pytest.raises(ConfigurationError, match="'a:b': a name cannot hold a colon"):
        recorder(memory_app, "a:b")


def test_an_actor_nobody_declared_is_not_found(memory_app: Callboard) -> None:
    with pytest.raises(ActorNotFound):
        memory_app.broker.get_actor("nobody")


def test_a_mailbox_that_cannot_be_reached_is_a_connection_error_of_dramatiq() -> None:
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))
    record, _ = recorder(app)
    mailbox.fail("publish", MailboxUnavailable("gone"))
    with pytest.raises(dramatiq.BrokerConnectionError, match="gone"):
        record.send()
    record.send()
    assert queue_of(app).accepted == 1


def test_messages_that_were_not_started_go_back_when_the_worker_stops(app: Callboard) -> None:
    seen: list[int] = []
    started, go = threading.Event(), threading.Event()

    @dramatiq.actor(broker=app.broker)
    def waits(number: int) -> None:
        seen.append(number)
        started.set()
        assert go.wait(10)

    for number in range(10):
        waits.send(number)
    with working(app, threads=1):
        assert started.wait(10)
        threading.Timer(0.05, go.set).start()
    queue = queue_of(app)
    assert queue.succeeded == len(seen)
    assert (queue.ready, queue.leased, queue.suspects) == (10 - len(seen), 0, 0)


def test_an_async_plain_actor_runs_with_dramatiqs_own_middleware(mailbox: Mailbox) -> None:
    app = new_app(mailbox, middleware=[dramatiq.middleware.AsyncIO(), dramatiq.middleware.Retries()])
    seen: list[int] = []

    @dramatiq.actor(broker=app.broker)
    async def record(number: int) -> None:
        seen.append(number)

    record.send(7)
    work_off(app)
    assert seen == [7]


def test_a_broker_works_without_an_app(mailbox: Mailbox) -> None:
    broker = CallboardBroker(mailbox)
    seen: list[int] = []

    @dramatiq.actor(broker=broker)
    def record(number: int) -> None:
        seen.append(number)

    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=20)
    worker.start()
    record.send(1)
    broker.join("default", timeout=20_000)
    worker.stop()
    assert seen == [1]


def test_the_mailbox_is_opened_when_it_is_needed_first() -> None:
    opened: list[Mailbox] = []

    def open_mailbox() -> Mailbox:
        opened.append(new_app().mailbox)
        return opened[-1]

    broker = CallboardBroker(open_mailbox)
    broker.close()
    assert opened == []
    assert broker.mailbox is broker.mailbox is opened[0]
    assert len(opened) == 1
