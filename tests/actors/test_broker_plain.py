"""Plain dramatiq actors and messages work on Callboard's broker as they do on dramatiq's own."""

import threading
import time
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import ActorNotFound, QueueJoinTimeout, QueueNotFound

from callboard import Callboard, CallboardBroker, Context
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.messages.errors import ConfigurationError, MailboxUnavailable
from tests.actors.rehearsal import (
    FaultyMailbox,
    OrderPlaced,
    new_app,
    queue_of,
    recorder,
    until,
    work_off,
    working,
)


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


def test_a_message_for_a_queue_of_others_waits_for_them(mailbox: Mailbox) -> None:
    ours, theirs = new_app(mailbox), new_app(mailbox)
    _, seen = recorder(theirs, queue_name="theirs")
    ours.broker.enqueue(
        dramatiq.Message(queue_name="theirs", actor_name="record", args=(7,), kwargs={}, options={})
    )
    work_off(theirs)
    assert seen == [((7,), {})]


@pytest.mark.parametrize("delay", [0.002, 0.0])
def test_a_worker_holds_no_more_messages_than_dramatiq_does(memory_app: Callboard, delay: float) -> None:
    held: list[int] = []

    @dramatiq.actor(broker=memory_app.broker)
    def looks() -> None:
        time.sleep(delay)
        held.append(queue_of(memory_app).leased)

    for _ in range(500):
        looks.send()
    work_off(memory_app, threads=2)
    # Twice the threads are held for dramatiq, and as many may be on their way to be settled.
    assert max(held) < 50


def test_events_without_end_do_not_keep_a_plain_message_waiting(memory_app: Callboard) -> None:
    record, seen = recorder(memory_app)

    @memory_app.actor
    def again(event: OrderPlaced, ctx: Context) -> None:
        time.sleep(0.001)  # long enough for the buffer to be filled again
        if not seen:
            for _ in range(2):
                ctx.publish(OrderPlaced("again"))

    for number in range(200):
        memory_app.publish(OrderPlaced(str(number)))
    with working(memory_app, threads=1):
        until(lambda: queue_of(memory_app).succeeded, "the first of the events")
        record.send("between")
        until(lambda: seen, "the message")


def test_consuming_without_a_worker_says_what_is_missing(memory_app: Callboard) -> None:
    recorder(memory_app)
    with pytest.raises(dramatiq.BrokerConnectionError, match=r"start a dramatiq\.Worker"):
        memory_app.broker.consume("default")


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
