"""What those know who come from workers on Google Cloud Pub/Sub."""

from datetime import timedelta

import pytest

from callboard import Callboard, Context, DiscardEvent, MemoryMailbox, Retry, RetryLater
from callboard.actors.dead_letters import DeadFilter
from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.memory import VirtualClock
from callboard.messages.delivery import Delivery, Outcome, OutcomeKind
from callboard.messages.errors import UnroutedEvent
from callboard.testing import Stage
from tests.coming_from.shop import SECOND, Failing, OrderPlaced, new_app, new_clock


def held_by_one() -> tuple[VirtualClock, MemoryMailbox, Delivery]:
    """A mailbox whose only delivery a worker named `one` holds for 30 seconds."""
    clock = new_clock()
    mailbox = MemoryMailbox(clock=clock)
    app = Callboard("shop", mailbox=mailbox)

    @app.actor
    def ship(event: OrderPlaced) -> None: ...

    app.broker.boot()
    app.publish(OrderPlaced("A-1"))
    (held,) = mailbox.fetch("default", 1, owner="one", lease_ms=30 * SECOND).deliveries
    return clock, mailbox, held


def test_each_actor_is_a_subscription_of_its_own() -> None:
    app = new_app(Retry.every("1m"))
    fail = Failing(times=1)

    @app.actor
    def bill(event: OrderPlaced) -> None:
        fail()

    @app.actor
    def ship(event: OrderPlaced) -> None: ...

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
        assert stage.outcomes(bill) == ["retried", "succeeded"]
        assert stage.outcomes(ship) == ["succeeded"]


def test_to_return_is_ack_and_to_raise_is_nack() -> None:
    app = new_app(Retry.every("1m"))
    fail = Failing(times=1)

    @app.actor
    def ship(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "succeeded"]
        assert stage.advance("1h") == []


def test_a_handler_says_when_it_wants_the_event_again() -> None:
    app = new_app()

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        if ctx.attempt == 1:
            raise RetryLater("10 minutes")

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
        first, second = stage.attempts
        assert second.at - first.at == timedelta(minutes=10)


def test_a_lease_is_extended_while_its_worker_lives() -> None:
    clock, mailbox, held = held_by_one()
    for _ in range(100):
        clock.advance(20 * SECOND)
        assert mailbox.renew([held], 30 * SECOND) == []
        assert mailbox.fetch("default", 1, owner="another", lease_ms=SECOND).deliveries == []


def test_what_a_lost_worker_held_is_delivered_again() -> None:
    app = new_app()

    @app.actor
    def ship(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        stage.crash(ship)
        app.publish(OrderPlaced("A-1"))
        stage.advance("30s")
        assert [(attempt.outcome, attempt.number) for attempt in stage.attempts] == [
            (None, 1),
            ("succeeded", 1),  # it was not charged
        ]


def test_the_backoff_has_a_least_and_a_longest_wait() -> None:
    app = new_app()
    fail = Failing(times=8)

    @app.actor(retry=Retry.exponential(first="10s", cap="10m", jitter=0))
    def ship(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1d")
        waits = [each.retry_in.total_seconds() for each in stage.attempts if each.retry_in is not None]
        assert waits == [10, 20, 40, 80, 160, 320, 600, 600]


def test_after_five_attempts_it_is_dead_once() -> None:
    app = new_app()
    fail = Failing()

    @app.actor(retry=Retry.every("10s", max_attempts=5))
    def ship(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1d")
        assert len(stage.attempts) == 5
        assert [(dead.event, dead.attempts) for dead in stage.dead] == [(OrderPlaced("A-1"), 5)]


def test_a_handler_knows_its_delivery_attempt_and_the_attributes() -> None:
    app = new_app(Retry.every("1m"))
    told: list[tuple[int, str]] = []

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        told.append((ctx.attempt, ctx.attributes["tenant"]))
        if ctx.attempt == 1:
            raise ConnectionError("no answer")

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"), attributes={"tenant": "north"})
        stage.advance("1m")
    assert told == [(1, "north"), (2, "north")]


def test_events_of_a_key_are_handled_in_the_order_of_publishing() -> None:
    app = new_app()

    @app.actor(ordered=True)
    def ship(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        app.publish_many([OrderPlaced(f"A-{number % 2}", number) for number in range(10)])
        stage.run()
        totals = [
            each.event.total
            for each in stage.attempts
            if isinstance(each.event, OrderPlaced) and each.event.order_id == "A-1"
        ]
        assert totals == [1, 3, 5, 7, 9]


def test_what_was_published_twice_is_handled_once_within_the_window() -> None:
    app = new_app()

    @app.actor
    def ship(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        for _ in range(3):
            app.publish(OrderPlaced("A-1"), dedup_key="A-1")
            stage.advance("1h")
        assert stage.outcomes() == ["succeeded"]


def test_the_late_ack_of_a_worker_that_lost_its_lease_changes_nothing() -> None:
    clock, mailbox, late = held_by_one()
    clock.advance(31 * SECOND)
    (now,) = mailbox.fetch("default", 1, owner="another", lease_ms=30 * SECOND, alone=True).deliveries
    done = Outcome(OutcomeKind.SUCCEEDED)
    assert now.fence > late.fence
    assert mailbox.settle([Settlement(late, done)]) == [False]
    assert mailbox.settle([Settlement(now, done)]) == [True]


def test_what_is_filtered_out_leaves_a_record_with_the_reason() -> None:
    app = new_app()

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        if ctx.attributes.get("tenant") != "north":
            raise DiscardEvent("another tenant")

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"), attributes={"tenant": "south"})
        stage.run()
        assert [end.detail for end in stage.discarded] == ["another tenant"]


def test_dead_letters_since_a_moment_are_replayed() -> None:
    app = new_app(Retry.never())
    fail = Failing(times=2)

    @app.actor
    def ship(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1d")
        since = int(stage.now.timestamp() * 1000)
        app.publish(OrderPlaced("A-2"))
        stage.run()
        assert app.dead_letters.replay(DeadFilter(since=since)).done == 1
        stage.run()
        assert stage.attempts[-1].event == OrderPlaced("A-2")
        assert stage.outcomes() == ["dead", "dead", "succeeded"]


def test_a_publish_that_nobody_subscribes_to_may_be_an_error() -> None:
    app = new_app()
    app.contract(OrderPlaced)
    with Stage(app), pytest.raises(UnroutedEvent):
        app.publish(OrderPlaced("A-1"), required=True)
