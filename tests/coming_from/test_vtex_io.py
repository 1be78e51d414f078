"""What those know who come from services and workers of VTEX IO."""

import asyncio
from datetime import timedelta
from pathlib import Path

from callboard import (
    Batch,
    Callboard,
    Context,
    Discard,
    DiscardEvent,
    Event,
    HandlerTimeout,
    MemoryMailbox,
    PartialFailure,
    Retry,
)
from callboard.testing import Stage
from tests.coming_from.shop import SECOND, Failing, OrderPlaced, ReceiptSent, new_app
from tests.servers import start_server


class CatalogChanged(Event, name="catalog.changed"):
    """A handler's loop goes through its articles."""

    skus: list[str]


def test_a_handler_is_found_by_what_it_takes() -> None:
    app = new_app()

    @app.actor
    def index(event: OrderPlaced | CatalogChanged) -> None: ...

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"))
        app.publish(CatalogChanged(["a"]))
        stage.run()
        assert [attempt.event for attempt in stage.attempts] == [OrderPlaced("A-1"), CatalogChanged(["a"])]


def test_events_of_another_sender_are_left_out() -> None:
    app = new_app()

    @app.actor
    def index(event: OrderPlaced, ctx: Context) -> None:
        if ctx.attributes.get("sender") != "storefront":
            raise DiscardEvent("from another sender")

    with Stage(app) as stage:
        for sender in ("storefront", "legacy"):
            app.publish(OrderPlaced("A-1"), attributes={"sender": sender})
        stage.run()
        assert stage.outcomes() == ["succeeded", "discarded"]
        assert [end.detail for end in stage.discarded] == ["from another sender"]


def test_workspaces_do_not_see_each_other(tmp_path: Path) -> None:
    server = start_server("valkey", tmp_path)
    try:
        master = Callboard("shop", url=server.url, workspace="master")
        mine = Callboard("shop", url=server.url, workspace="mine")
        for app in (master, mine):

            @app.actor
            def index(event: OrderPlaced) -> None: ...

        master.publish(OrderPlaced("A-1"))
        mine.publish(OrderPlaced("A-2"))
        mine.publish(OrderPlaced("A-3"))
        counts = [[queue.accepted for queue in app.mailbox.info().queues] for app in (master, mine)]
        master.close()
        mine.close()
    finally:
        server.kill()
    assert counts == [[1], [2]]


def test_each_retry_waits_longer() -> None:
    app = new_app()
    fail = Failing(times=2)

    @app.actor(retry=Retry.exponential(first="50ms", factor=2, jitter=0, max_attempts=3))
    def index(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1s")
        waits = [attempt.retry_in for attempt in stage.attempts]
        assert waits == [timedelta(milliseconds=50), timedelta(milliseconds=100), None]


def test_an_event_that_takes_too_long_has_failed() -> None:
    app = new_app(Retry.never())

    @app.actor(timeout="30ms")
    async def index(event: OrderPlaced) -> None:
        await asyncio.sleep(3600)

    with Stage(app, expect=HandlerTimeout) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.run()
        assert stage.outcomes() == ["dead"]
        assert isinstance(stage.attempts[0].error, HandlerTimeout)


def test_each_attempt_may_take_longer() -> None:
    app = new_app(Retry.every("1s"))
    left: list[float] = []

    @app.actor
    def index(event: OrderPlaced, ctx: Context) -> None:
        ctx.set_timeout(3.0 * 2 ** (ctx.attempt - 1))
        left.append(ctx.remaining().total_seconds())
        if ctx.attempt < 3:
            raise ConnectionError("no answer")

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1m")
    assert [round(seconds) for seconds in left] == [3, 6, 12]


def test_no_more_run_at_a_time_than_was_said() -> None:
    mailbox = MemoryMailbox()
    app = Callboard("shop", mailbox=mailbox)

    @app.actor(concurrency=10)
    def index(event: OrderPlaced) -> None: ...

    app.broker.boot()
    app.publish_many([OrderPlaced(str(number)) for number in range(30)])
    held = [
        mailbox.fetch("default", 100, owner=worker, lease_ms=30 * SECOND).deliveries
        for worker in ("one", "another")
    ]
    assert [len(deliveries) for deliveries in held] == [10, 0]
    app.close()


def test_success_and_failure_are_marked_for_each_item() -> None:
    app = new_app(Retry.every("1m"))
    fail = Failing(times=1)

    @app.actor
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                if item.value == "b":
                    fail()

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(["a", "b", "c"]))
        stage.run()
        marked = {item.key: item.status for item in stage.attempts[0].items}
        assert marked == {"a": "succeeded", "b": "failed", "c": "succeeded"}
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "succeeded"]


def test_an_error_is_recorded_and_tried_again() -> None:
    app = new_app(Retry.every("1m", max_attempts=2))
    fail = Failing()

    @app.actor
    def index(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
        assert stage.outcomes() == ["retried", "dead"]
        (dead,) = stage.dead
        assert dead.error is not None
        assert (dead.error.type, dead.error.message) == ("ConnectionError", "no answer")


def test_an_order_that_was_done_is_not_done_again() -> None:
    app = new_app()

    class PriceChanged(Event, name="price.changed", dedup="sku", window="7d"):
        sku: str

    @app.actor
    def index(event: PriceChanged) -> None: ...

    with Stage(app) as stage:
        for _ in range(3):
            app.publish(PriceChanged("a"))
            stage.advance("1d")
        assert stage.outcomes() == ["succeeded"]


def test_an_event_that_is_too_old_is_not_handled() -> None:
    app = new_app()

    @app.actor(discard=Discard(max_age="20s"))
    def index(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        stage.crash(index)
        app.publish(OrderPlaced("A-1"))
        stage.advance("1m")  # its lease of 30 s is over by then
        assert stage.outcomes() == [None, "discarded"]
        assert [end.reason for end in stage.discarded] == ["max_age"]


def test_the_next_event_of_a_chain_goes_out_with_the_success() -> None:
    app = new_app(Retry.every("1m"))
    fail = Failing(times=1)

    @app.actor
    def take(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(ReceiptSent(event.order_id))
        fail()

    @app.actor
    def after(event: ReceiptSent) -> None: ...

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.run()
        assert stage.outcomes(after) == []
        stage.advance("1m")
        assert stage.outcomes(after) == ["succeeded"]


def test_fifty_products_are_handled_at_once() -> None:
    app = new_app()
    sizes: list[int] = []

    @app.actor(batch=Batch(size=50, wait="1s"))
    def index(events: list[OrderPlaced]) -> None:
        sizes.append(len(events))

    with Stage(app) as stage:
        app.publish_many([OrderPlaced(str(number)) for number in range(120)])
        stage.advance("1s")
    assert sizes == [50, 50, 20]
