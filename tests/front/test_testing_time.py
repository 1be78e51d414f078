"""A stage's clock moves only when told to, and everything runs at the moment it falls due."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from callboard import Context, Retry, RetryLater
from callboard.messages.errors import CallboardError, InvalidAfter, InvalidDuration
from callboard.testing import START
from tests.front.stages import OrderPlaced, OrderShipped, staged

MINUTE = timedelta(minutes=1)


def test_the_clock_stands_still_until_it_is_advanced() -> None:
    with staged() as (_, stage):
        assert stage.now == START == datetime(2030, 1, 1, tzinfo=UTC)
        stage.run()
        assert stage.now == START
        stage.advance("90s")
        assert stage.now == START + timedelta(seconds=90)
        stage.advance(timedelta(milliseconds=1))
        stage.advance(0.5)
        assert stage.now == START + timedelta(seconds=90, milliseconds=501)
        stage.advance_to(START + timedelta(days=366))
        assert stage.now == START + timedelta(days=366)


def test_the_start_may_be_given() -> None:
    start = datetime(2024, 2, 29, 12, tzinfo=UTC)
    with staged(start=start) as (app, stage):

        @app.actor
        def handler(event: OrderPlaced, ctx: Context) -> None:
            assert ctx.time == start
            assert ctx.age() == MINUTE

        app.publish(OrderPlaced("A"), after="1 minute")
        stage.advance("1m")
        assert [each.at for each in stage.attempts] == [start + MINUTE]


def test_a_time_that_makes_no_sense_is_refused() -> None:
    with staged() as (_, stage):
        stage.advance("1h")
        with pytest.raises(CallboardError, match="never goes back"):
            stage.advance_to(START)
        with pytest.raises(CallboardError, match="tzinfo=UTC"):
            stage.advance_to(datetime(2031, 1, 1))  # noqa: DTZ001 - this is the fault
        with pytest.raises(InvalidDuration):
            stage.advance("soon")
        with pytest.raises(InvalidDuration):
            stage.advance(-1)
        assert stage.now == START + timedelta(hours=1)
    with pytest.raises(CallboardError, match="tzinfo=UTC"), staged(start=datetime(2031, 1, 1)):  # noqa: DTZ001 - as above
        pass


def test_what_falls_due_runs_in_the_order_of_time_whatever_its_queue() -> None:
    seen: list[tuple[str, timedelta]] = []
    with staged() as (app, stage):

        @app.actor(queue="mail")
        def mail(event: OrderPlaced) -> None:
            seen.append((event.order_id, stage.now - START))

        @app.actor(queue="stock")
        def stock(event: OrderShipped) -> None:
            seen.append((event.order_id, stage.now - START))

        app.publish(OrderPlaced("third"), after="3 minutes")
        app.publish(OrderShipped("second"), after="2 minutes")
        app.publish(OrderPlaced("first"), after="1 minute")
        app.publish(OrderShipped("now"))
        app.publish(OrderShipped("later"), after="1 hour")
        stage.advance("10m")
    assert seen == [
        ("now", timedelta(0)),
        ("first", MINUTE),
        ("second", 2 * MINUTE),
        ("third", 3 * MINUTE),
    ]


def test_a_retry_runs_at_its_own_moment_and_its_waits_are_without_chance() -> None:
    retry = Retry.exponential(first="1m", factor=2, cap="1h", jitter=1, max_attempts=4)
    with staged(expect=ConnectionError) as (app, stage):

        @app.actor(retry=retry)
        def handler(event: OrderPlaced) -> None:
            raise ConnectionError("down")

        app.publish(OrderPlaced("A"))
        stage.advance("1h")
        assert [(each.number, each.at - START, each.retry_in) for each in stage.attempts] == [
            (1, 0 * MINUTE, 1 * MINUTE),
            (2, 1 * MINUTE, 2 * MINUTE),
            (3, 3 * MINUTE, 4 * MINUTE),
            (4, 7 * MINUTE, None),
        ]
        assert stage.outcomes("handler") == ["retried", "retried", "retried", "dead"]
        assert [each.at - START for each in stage.dead] == [7 * MINUTE]


def test_the_wait_a_handler_asks_for_is_kept() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced, ctx: Context) -> None:
            if ctx.attempt == 1:
                raise RetryLater("10 minutes", "the partner sleeps")

        app.publish(OrderPlaced("A"))
        stage.run()
        (first,) = stage.attempts
        assert (first.retry_in, first.detail) == (10 * MINUTE, None)
        (waits,) = stage.scheduled
        assert (waits.event, waits.actor, waits.number, waits.due) == (
            OrderPlaced("A"),
            "handler",
            2,
            START + 10 * MINUTE,
        )
        stage.advance("599s")
        assert stage.outcomes() == ["retried"]
        stage.advance("1s")
        assert stage.outcomes() == ["retried", "succeeded"]
        assert stage.scheduled == []


def test_after_is_read_by_the_clock_of_the_stage() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None: ...

        stage.advance("30d")
        app.publish(OrderPlaced("moment"), after=stage.now + MINUTE)
        app.publish(OrderPlaced("month"), after="1 month")
        assert [each.due for each in stage.scheduled] == [
            stage.now + MINUTE,
            datetime(2030, 2, 28, tzinfo=UTC),
        ]
        with pytest.raises(InvalidAfter, match="not later than now"):
            app.publish(OrderPlaced("past"), after=START)


def test_a_year_of_retries_takes_no_time() -> None:
    with staged(expect=ConnectionError) as (app, stage):

        @app.actor(retry=Retry.every("1d", give_up_after=None))
        def handler(event: OrderPlaced) -> None:
            raise ConnectionError("down")

        began = time.monotonic()
        app.publish(OrderPlaced("A"))
        stage.advance("366d")
        assert len(stage.outcomes()) == 367
        assert time.monotonic() - began < 366


def test_the_dead_are_told_even_when_the_mailbox_has_forgotten_them() -> None:
    with staged(expect=ValueError) as (app, stage):

        @app.actor(retry=Retry.never())
        def handler(event: OrderPlaced) -> None:
            raise ValueError("no")

        app.publish(OrderPlaced("A"))
        stage.run()
        stage.advance("60d")
        assert app.mailbox.ended("default") == []
        assert [each.event for each in stage.dead] == [OrderPlaced("A")]


# Workers that are lost.


def test_a_crash_is_taken_over_when_the_lease_ends_and_charges_nothing() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None: ...

        stage.crash(handler)
        app.publish(OrderPlaced("A"))
        stage.run()
        assert stage.outcomes() == [None]
        assert stage.counts == {"accepted": 1, "leased": 1}
        stage.advance("29s")
        assert stage.outcomes() == [None]
        stage.advance("1s")
        assert [(each.number, each.outcome, each.at - START) for each in stage.attempts] == [
            (1, None, timedelta(0)),
            (1, "succeeded", timedelta(seconds=30)),
        ]


def test_three_crashes_alone_are_poison_and_a_neighbour_is_done() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None:
            raise AssertionError("no worker lives long enough")

        @app.actor
        def neighbour(event: OrderPlaced) -> None: ...

        stage.crash("handler", times=4)
        app.publish(OrderPlaced("A"))
        stage.advance("5m")
        assert [(each.actor, each.reason, each.attempts) for each in stage.dead] == [("handler", "poison", 3)]
        assert stage.outcomes("neighbour") == ["succeeded"]
        with pytest.raises(CallboardError, match="handler, neighbour"):
            stage.crash("nobody")
        with pytest.raises(CallboardError, match="there is no actor 'neigbour'"):
            stage.outcomes("neigbour")
