"""What those know who come from pg-boss."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from callboard import Batch, Callboard, Dedup, Discard, Event, HandlerTimeout, MemoryMailbox, Retry
from callboard.actors.mailbox.records import Span, records_in
from callboard.actors.ticket import Ticket
from callboard.messages.delivery import OutcomeKind
from callboard.messages.event_options import Length
from callboard.testing import START, Stage
from tests.actors.rehearsal import held_by_a_consumer, taken
from tests.coming_from.shop import SECOND, Failing, OrderPlaced, new_app


def test_a_queue_is_there_with_its_first_actor() -> None:
    app = new_app()

    @app.actor(queue="email-send")
    def send(event: OrderPlaced) -> None: ...

    assert app.broker.get_declared_queues() == {"email-send"}


def test_what_is_sent_is_an_event_and_the_answer_has_its_id() -> None:
    app = new_app()
    ids: list[str] = []

    @app.layer
    def keep_ids(attempt):  # type: ignore[no-untyped-def]
        ids.append(attempt.delivery.key)
        return (yield)

    @app.actor(queue="email-send")
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        receipt = app.publish(OrderPlaced("A-1"))
        stage.run()
    assert ids == [receipt.id]


def test_many_are_inserted_in_one_call() -> None:
    app = new_app()

    @app.actor
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        receipts = app.publish_many([OrderPlaced(str(number)) for number in range(1000)])
        stage.run()
        assert len({receipt.id for receipt in receipts}) == len(stage.outcomes(send)) == 1000


def test_a_retry_limit_of_two_is_three_attempts() -> None:
    app = new_app()
    fail = Failing()

    @app.actor(retry=Retry.every("60s", max_attempts=3))
    def send(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
        assert stage.outcomes() == ["retried", "retried", "dead"]


def test_a_retry_delay_is_the_same_each_time() -> None:
    app = new_app()
    fail = Failing(times=2)

    @app.actor(retry=Retry.every("60s"))
    def send(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
        assert [attempt.at - START for attempt in stage.attempts] == [
            timedelta(minutes=minutes) for minutes in (0, 1, 2)
        ]


def test_a_backoff_doubles_up_to_its_longest_and_half_of_it_is_chance() -> None:
    retry = Retry.exponential(first="30s", factor=2, cap="5m", jitter=0.5)

    def wait(attempt: int, chance: float) -> object:
        return retry.decide(attempt=attempt, age_ms=0, error=ConnectionError(), chance=lambda: chance)

    assert [wait(attempt, 0.0) for attempt in range(1, 6)] == [30_000, 60_000, 120_000, 240_000, 300_000]
    assert [wait(attempt, 1.0) for attempt in range(1, 6)] == [15_000, 30_000, 60_000, 120_000, 150_000]


def test_a_job_that_runs_too_long_is_tried_again() -> None:
    app = new_app(Retry.every("1m", max_attempts=2))

    @app.actor(timeout="30ms")
    async def send(event: OrderPlaced) -> None:
        await asyncio.sleep(3600)

    with Stage(app, expect=HandlerTimeout) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
        assert stage.outcomes() == ["retried", "dead"]


def test_a_worker_that_is_not_heard_of_loses_what_it_holds() -> None:
    app = Callboard("shop", lease="10s")

    @app.actor
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        stage.crash(send)
        app.publish(OrderPlaced("A-1"))
        stage.advance("9s")
        assert stage.outcomes() == [None]
        stage.advance("1s")
        assert stage.outcomes() == [None, "succeeded"]


def test_a_job_that_waited_for_too_long_is_dropped() -> None:
    app = new_app(Retry.every("1h"))
    fail = Failing()

    @app.actor(discard=Discard(max_age="14d"))
    def send(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("15d")
        assert [end.reason for end in stage.discarded] == ["max_age"]


def test_what_has_failed_for_good_is_kept_dead_and_can_be_replayed() -> None:
    app = new_app(Retry.never())
    fail = Failing(times=1)

    @app.actor
    def send(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.run()
        (dead,) = app.dead_letters.each()
        assert (dead.id.partition(":")[0], dead.reason) == ("send", "max_attempts")
        assert app.dead_letters.replay().done == 1
        stage.run()
        assert stage.outcomes() == ["dead", "succeeded"]


@pytest.mark.parametrize(
    "after", ["1 second", timedelta(seconds=1), datetime(2030, 1, 1, 0, 0, 1, tzinfo=UTC)], ids=str
)
def test_a_job_starts_later(after: Length | datetime) -> None:
    app = new_app()

    @app.actor
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"), after=after)
        assert stage.run() == []
        stage.advance("1s")
        assert stage.outcomes() == ["succeeded"]


def test_one_job_of_a_key_waits_or_runs() -> None:
    app = new_app()

    @app.actor(dedup=Dedup(window="1m"))
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        receipts = [app.publish(OrderPlaced("A-1"), dedup_key="A-1", after="1 hour") for _ in range(3)]
        assert [receipt.deliveries[0].duplicate for receipt in receipts] == [False, True, True]
        stage.advance("1h")
        stage.advance("2m")
        app.publish(OrderPlaced("A-1"), dedup_key="A-1")
        stage.run()
        assert stage.outcomes() == ["succeeded", "succeeded"]


def test_one_job_of_a_key_a_minute() -> None:
    app = new_app()

    @app.actor(dedup=Dedup(key="order_id", window="1m"))
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        for _ in range(3):
            app.publish(OrderPlaced("A-1"))
            stage.run()
        assert stage.outcomes() == ["succeeded"]
        stage.advance("2m")
        app.publish(OrderPlaced("A-1"))
        stage.run()
        assert stage.outcomes() == ["succeeded", "succeeded"]


def test_one_job_runs_at_a_time() -> None:
    mailbox = MemoryMailbox()
    app = Callboard("shop", mailbox=mailbox)

    @app.actor(concurrency=1)
    def send(event: OrderPlaced) -> None: ...

    app.broker.boot()
    app.publish_many([OrderPlaced(str(number)) for number in range(5)])
    assert len(mailbox.fetch("default", 5, owner="one", lease_ms=SECOND).deliveries) == 1
    assert len(mailbox.fetch("default", 5, owner="another", lease_ms=SECOND).deliveries) == 0
    app.close()


def test_jobs_of_a_key_run_in_their_order() -> None:
    app = new_app(Retry.every("1m"))
    fail = Failing(times=1)

    @app.actor(ordered=True)
    def send(event: OrderPlaced) -> None:
        if event.order_id == "A-1":
            fail()

    with Stage(app, expect=ConnectionError) as stage:
        for order in (OrderPlaced("A-1", 1), OrderPlaced("A-1", 2), OrderPlaced("B-1", 3)):
            app.publish(order)
        stage.advance("1h")
        done = [attempt.event for attempt in stage.attempts if attempt.outcome == "succeeded"]
        assert done == [OrderPlaced("B-1", 3), OrderPlaced("A-1", 1), OrderPlaced("A-1", 2)]


def test_a_job_that_has_not_begun_is_cancelled() -> None:
    app = new_app()

    @app.actor
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        receipt = app.publish(OrderPlaced("A-1"), after="1 hour")
        assert [each.became for each in app.cancel(receipt, reason="paid")] == ["cancelled"]
        stage.advance("2h")
        assert stage.attempts == []


def test_a_job_that_has_not_begun_is_moved() -> None:
    app = new_app()

    @app.actor
    def send(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        receipt = app.publish(OrderPlaced("A-1"), after="1 hour")
        assert [each.became for each in app.reschedule(receipt, after="3 hours")] == ["moved"]
        stage.advance("2h")
        assert stage.attempts == []
        stage.advance("1h")
        assert stage.outcomes() == ["succeeded"]


def test_a_batch_has_an_outcome_for_each_job() -> None:
    app = new_app(Retry.never())

    @app.actor(batch=Batch(size=20, wait="1s"))
    def send(events: list[OrderPlaced]) -> None:
        if any(event.order_id == "3" for event in events):
            raise ConnectionError("no answer")

    with Stage(app, expect=ConnectionError) as stage:
        app.publish_many([OrderPlaced(str(number)) for number in range(5)])
        stage.advance("1m")
        ended = {attempt.event: attempt.outcome for attempt in stage.attempts}
        assert [ended[OrderPlaced(str(number))] for number in range(5)] == [
            "succeeded",
            "succeeded",
            "succeeded",
            "dead",
            "succeeded",
        ]


def test_the_lower_priority_goes_first() -> None:
    app = Callboard("shop", mailbox=MemoryMailbox())
    order: list[str] = []

    @app.actor(priority=10)
    def later(event: OrderPlaced) -> None:
        order.append("later")

    @app.actor(priority=1)
    def sooner(event: OrderPlaced) -> None:
        order.append("sooner")

    app.publish(OrderPlaced("A-1"))
    with held_by_a_consumer(app) as consumer:
        consumer._accept(taken(app, 10).deliveries)
        consumer.drain(Ticket(consumer))
    assert order == ["sooner", "later"]


def test_the_record_of_a_success_is_kept_as_long_as_was_said() -> None:
    class Sent(Event, name="sent", retention="7d"):
        to: str

    app = new_app()

    @app.actor
    def send(event: Sent) -> None: ...

    with Stage(app) as stage:
        app.publish(Sent("ann@example.org"))
        stage.run()
        successes = Span("default", OutcomeKind.SUCCEEDED)
        assert [record.actor for record in records_in(app.mailbox.records, successes)] == ["send"]
        stage.advance("8d")
        assert list(records_in(app.mailbox.records, successes)) == []


def test_a_queue_says_how_its_actors_retry() -> None:
    app = new_app()
    app.queue("orders", retry=Retry.every("30s", max_attempts=3))

    @app.actor(queue="orders")
    def process(event: OrderPlaced) -> None:
        raise ConnectionError("no answer")

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "retried", "dead"]
