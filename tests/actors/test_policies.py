"""What an app says of retries, discards and timeouts, from the publish to the end of a delivery."""

import asyncio
from datetime import timedelta

import pytest

from callboard import Callboard, Context, Discard, Retry, RetryLater
from callboard.middleware.signals import HandlerTimeout
from callboard.testing import Stage
from tests.front.stages import OrderPlaced, new_app

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def fail(event: OrderPlaced) -> None:
    """A handler that never succeeds."""
    raise ConnectionError(event.order_id)


def staged(app: Callboard) -> Stage:
    """A stage on which handlers may fail."""
    return Stage(app, expect=(ConnectionError, HandlerTimeout))


# Retries.


def test_without_a_policy_an_actor_tries_for_14_days_with_waits_up_to_6_minutes() -> None:
    app = new_app()
    app.actor(fail)
    with staged(app) as stage:
        app.publish(OrderPlaced("A"))
        stage.advance("15d")
        waits = [each.retry_in for each in stage.attempts[:-1] if each.retry_in]
        assert waits[:10] == [timedelta(seconds=s) for s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 360)]
        assert set(waits[9:]) == {6 * MINUTE}
        (dead,) = stage.dead
        assert dead.reason == "max_age"
        assert 14 * DAY <= dead.at - stage.attempts[0].at < 14 * DAY + 6 * MINUTE
        assert dead.attempts == len(stage.attempts)


def test_the_delay_of_a_publish_is_no_part_of_the_age_to_give_up_at() -> None:
    app = new_app()
    app.actor(name="send", retry=Retry.every("6m", give_up_after="10m"))(fail)
    with staged(app) as stage:
        app.publish(OrderPlaced("A"), after="30 days")
        stage.advance("31d")
        assert stage.outcomes() == ["retried", "retried", "dead"]
        assert stage.dead[0].reason == "max_age"


def test_a_retry_that_the_handler_asks_for_counts_against_the_limit() -> None:
    app = new_app()

    @app.actor(retry=Retry.every("1m", max_attempts=2))
    def send(event: OrderPlaced) -> None:
        raise RetryLater("1 hour")

    with staged(app) as stage:
        app.publish(OrderPlaced("A"))
        stage.advance("59m")
        assert stage.outcomes() == ["retried"]
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "dead"]
        assert stage.dead[0].reason == "max_attempts"


def test_the_nearest_level_that_says_something_of_retries_has_the_say() -> None:
    app = Callboard("shop", url="redis://127.0.0.1:1/0", retry=Retry.every("1m"))
    app.queue("urgent", retry=Retry.every("1s"))
    app.actor(name="own", queue="urgent", retry=Retry.never())(fail)
    app.actor(name="by_queue", queue="urgent")(fail)
    app.actor(name="by_app")(fail)
    with staged(app) as stage:
        app.publish(OrderPlaced("A"))
        stage.run()
        assert {each.actor: each.retry_in for each in stage.attempts} == {
            "own": None,
            "by_queue": timedelta(seconds=1),
            "by_app": MINUTE,
        }


def test_a_dead_delivery_leaves_its_key_free() -> None:
    app = new_app()
    app.actor(name="send", retry=Retry.never())(fail)
    with staged(app) as stage:
        for _ in range(2):
            assert not app.publish(OrderPlaced("A"), dedup_key="k").deliveries[0].duplicate
            stage.run()
        assert [each.event for each in stage.dead] == [OrderPlaced("A")] * 2


# Discards.


def test_a_retry_is_discarded_as_soon_as_it_would_come_too_late() -> None:
    app = new_app()
    app.actor(name="send", retry=Retry.every("2h"), discard=Discard(max_age="5h"))(fail)
    with staged(app) as stage:
        app.publish(OrderPlaced("A"))
        stage.advance("1d")
        assert stage.outcomes() == ["retried", "retried", "discarded"]
        (discarded,) = stage.discarded
        assert (discarded.reason, discarded.attempts) == ("max_age", 3)
        assert discarded.at - stage.attempts[0].at == timedelta(hours=4)


@pytest.mark.parametrize(("include_delay", "expected"), [(False, "succeeded"), (True, "discarded")])
def test_the_delay_is_part_of_the_age_where_it_is_asked_to_be(include_delay: bool, expected: str) -> None:
    app = new_app()

    @app.actor(discard=Discard(max_age="5h", include_delay=include_delay))
    def send(event: OrderPlaced) -> None: ...

    with staged(app) as stage:
        app.publish(OrderPlaced("A"), after="6 hours")
        stage.advance("6h")
        assert stage.outcomes() == [expected]


def test_what_is_not_wanted_is_dead_lettered_where_the_rule_says_so() -> None:
    app = new_app()

    @app.actor(discard=Discard(when=lambda event: event.order_id == "test", then="dead_letter"))
    def send(event: OrderPlaced) -> None: ...

    with staged(app) as stage:
        app.publish_many([OrderPlaced("test"), OrderPlaced("A")])
        stage.run()
        assert stage.outcomes() == ["dead", "succeeded"]
        assert [(each.event, each.reason, each.attempts) for each in stage.dead] == [
            (OrderPlaced("test"), "body", 0)
        ]


# Timeouts.


def test_a_handler_past_its_timeout_has_failed_and_is_retried() -> None:
    app = new_app()

    @app.actor(timeout="50ms", retry=Retry.every("1m"))
    def send(event: OrderPlaced, ctx: Context) -> None:
        while ctx.attempt == 1:
            pass

    with staged(app) as stage:
        app.publish(OrderPlaced("A"))
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "succeeded"]
        assert isinstance(stage.attempts[0].error, HandlerTimeout)


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_an_async_handler_past_its_timeout_is_cancelled_and_the_test_is_not(in_a_loop: bool) -> None:
    app = new_app()

    @app.actor(timeout="50ms", retry=Retry.every("1m"))
    async def send(event: OrderPlaced, ctx: Context) -> None:
        if ctx.attempt == 1:
            await asyncio.Event().wait()

    async def play(stage: Stage) -> None:
        await stage.aadvance("1m")
        await asyncio.sleep(0)

    with staged(app) as stage:
        app.publish(OrderPlaced("A"))
        if in_a_loop:
            asyncio.run(play(stage))
        else:
            stage.advance("1m")
        assert stage.outcomes() == ["retried", "succeeded"]
        assert isinstance(stage.attempts[0].error, HandlerTimeout)


# Many actors of one event.


def test_actors_of_one_event_start_in_order_and_the_failure_of_one_runs_no_other_again() -> None:
    app = new_app()
    started: list[tuple[str, int]] = []

    def declare(name: str) -> None:
        def handler(event: OrderPlaced, ctx: Context) -> None:
            started.append((name, ctx.attempt))
            if name == "middle" and ctx.attempt == 1:
                raise ConnectionError("not now")

        app.actor(name=name, retry=Retry.every("1m"))(handler)

    for name in ("one", "middle", "another"):
        declare(name)
    with staged(app) as stage:
        app.publish(OrderPlaced("A"))
        stage.advance("5m")
    assert started == [("one", 1), ("middle", 1), ("another", 1), ("middle", 2)]
