"""A stage plays an app without a worker: what runs, in which order, and what becomes of errors."""

import asyncio
import threading
from datetime import timedelta

import dramatiq
import pytest

from callboard import Context
from callboard.messages.errors import CallboardError, ConfigurationError, PayloadConflict
from callboard.testing import START, EndlessRun
from tests.front.stages import Mailer, OrderPlaced, OrderShipped, staged

# Running.


def test_nothing_runs_before_the_test_says_so() -> None:
    seen: list[str] = []
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None:
            seen.append(event.order_id)

        app.publish(OrderPlaced("A"))
        assert seen == []
        assert stage.counts == {"accepted": 1, "ready": 1}
        (made,) = stage.run()
        assert seen == ["A"]
        assert (made.event, made.actor, made.number, made.outcome) == (
            OrderPlaced("A"),
            "handler",
            1,
            "succeeded",
        )
        assert stage.counts == {"accepted": 1, "succeeded": 1}
        assert stage.run() == []


def test_a_handler_runs_on_the_thread_of_the_test() -> None:
    threads: list[threading.Thread] = []
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None:
            threads.append(threading.current_thread())

        @app.actor
        async def another(event: OrderPlaced) -> None:
            threads.append(threading.current_thread())

        app.publish(OrderPlaced("A"))
        stage.run()
    assert threads == [threading.current_thread()] * 2


def test_queues_take_turns_and_each_keeps_its_order() -> None:
    seen: list[str] = []
    with staged() as (app, stage):

        @app.actor(queue="mail")
        def mail(event: OrderPlaced) -> None:
            seen.append(f"mail {event.order_id}")

        @app.actor(queue="stock")
        def stock(event: OrderPlaced) -> None:
            seen.append(f"stock {event.order_id}")

        app.publish_many([OrderPlaced("A"), OrderPlaced("B")])
        stage.run()
    assert seen == ["mail A", "stock A", "mail B", "stock B"]


def test_what_a_handler_publishes_runs_too() -> None:
    with staged() as (app, stage):

        @app.actor
        def ship(event: OrderPlaced, ctx: Context) -> None:
            ctx.publish(OrderShipped(event.order_id))

        @app.actor
        def tell(event: OrderShipped) -> None: ...

        app.publish(OrderPlaced("A"))
        stage.run()
        assert stage.published == [OrderPlaced("A"), OrderShipped("A")]
        assert [(each.actor, each.event) for each in stage.attempts] == [
            ("ship", OrderPlaced("A")),
            ("tell", OrderShipped("A")),
        ]


def test_what_nobody_here_handles_is_seen_as_published() -> None:
    with staged() as (app, stage):
        app.publish(OrderShipped("A"))
        assert stage.published == [OrderShipped("A")]
        assert stage.counts == {}


def test_a_duplicate_is_published_and_not_run_and_a_conflict_is_neither() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None: ...

        app.publish(OrderPlaced("A"), dedup_key="k")
        assert app.publish(OrderPlaced("A"), dedup_key="k").deliveries[0].duplicate
        with pytest.raises(PayloadConflict):
            app.publish(OrderPlaced("B"), dedup_key="k")
        stage.run()
        assert stage.published == [OrderPlaced("A"), OrderPlaced("A")]
        assert stage.outcomes() == ["succeeded"]


def test_a_handler_that_publishes_to_itself_without_end_is_stopped() -> None:
    with staged(most=50) as (app, stage):

        @app.actor
        def echo(event: OrderPlaced, ctx: Context) -> None:
            ctx.publish(event)

        app.publish(OrderPlaced("A"))
        with pytest.raises(EndlessRun, match=r"50 attempts, 50 of them of echo.*most="):
            stage.run()
        assert len(stage.attempts) == 50


def test_a_handler_cannot_run_the_stage() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None:
            stage.run()

        app.publish(OrderPlaced("A"))
        with pytest.raises(CallboardError, match="the test does"):
            stage.run()


def test_a_message_to_a_plain_actor_is_kept_and_not_run() -> None:
    with staged() as (app, stage):

        @dramatiq.actor(broker=app.broker)
        def resize(path: str) -> None:
            raise AssertionError("the stage runs no plain actors")

        resize.send("a.png")
        assert stage.run() == []
        assert [(each.actor_name, each.args) for each in stage.messages] == [("resize", ("a.png",))]
        assert stage.published == []


def test_what_a_worker_would_not_start_with_is_said() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced, ctx: Context, mailer: Mailer) -> None: ...

        with pytest.raises(ConfigurationError, match="nobody provides"):
            stage.run()


# Handlers on an event loop.


def test_async_handlers_share_one_loop_through_a_stage() -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    with staged() as (app, stage):

        @app.actor
        async def handler(event: OrderPlaced) -> None:
            await asyncio.sleep(0)
            loops.append(asyncio.get_running_loop())

        app.publish(OrderPlaced("A"))
        stage.run()
        app.publish(OrderPlaced("B"), after="1 hour")
        stage.advance("2h")
    assert len(loops) == 2
    assert loops[0] is loops[1]
    assert loops[0].is_closed()


def test_a_test_with_a_running_loop_awaits_the_stage() -> None:
    seen: list[object] = []

    async def play() -> None:
        with staged() as (app, stage):

            @app.actor
            async def handler(event: OrderPlaced) -> None:
                seen.append(asyncio.get_running_loop())

            @app.actor
            def plain(event: OrderPlaced) -> None:
                seen.append(event.order_id)

            await app.apublish(OrderPlaced("A"))
            await stage.arun()
            assert seen == [asyncio.get_running_loop(), "A"]
            app.publish(OrderPlaced("B"), after="1 hour")
            await stage.aadvance("30m")
            await stage.aadvance_to(START + timedelta(hours=2))
            assert stage.outcomes("plain") == ["succeeded", "succeeded"]

    asyncio.run(play())


def test_run_in_an_async_test_says_what_to_write_and_loses_nothing() -> None:
    async def play() -> None:
        with staged() as (app, stage):

            @app.actor
            async def handler(event: OrderPlaced) -> None: ...

            app.publish(OrderPlaced("A"))
            with pytest.raises(CallboardError, match=r"await stage\.arun\(\)"):
                stage.run()
            await stage.arun()
            assert stage.outcomes() == ["released", "succeeded"]

    asyncio.run(play())
