"""What is said of an event's attempts when it is published goes before what its actors say."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from callboard import Batch, BatchContext, Callboard, Context, Dedup, Discard, MemoryDedupStore, Retry
from callboard.messages.errors import InvalidOption
from callboard.middleware.signals import HandlerTimeout
from callboard.testing import Stage
from tests.actors.rehearsal import OrderPlaced, ended, queue_of, until, work_off, working
from tests.front.stages import new_app

A = OrderPlaced("A")
EVERY = Retry.every("1m")


def failing(app: Callboard, **said: Any) -> None:
    """An actor that never succeeds."""

    options: dict[str, Any] = {"retry": EVERY, **said}

    @app.actor(**options)
    def fail(event: OrderPlaced) -> None:
        raise ConnectionError(event.order_id)


def outcomes(app: Callboard, **given: Any) -> list[str]:
    """What the attempts at an event come to within a day."""
    with Stage(app, expect=(ConnectionError, HandlerTimeout)) as stage:
        app.publish(A, **given)
        stage.advance("1d")
        kinds = [f"{kind}" for kind in stage.outcomes()]
        return kinds + [f"{each.reason}" for each in [*stage.dead, *stage.discarded]]


@pytest.mark.parametrize("retry", [EVERY, Retry.every("1m", max_attempts=5), Retry.never()])
def test_the_publisher_says_how_many_attempts_there_are(retry: Retry) -> None:
    app = new_app()
    failing(app, retry=retry)
    assert outcomes(app, max_attempts=3) == ["retried", "retried", "dead", "max_attempts"]


def test_the_publisher_says_from_which_age_it_is_not_tried_again() -> None:
    app = new_app()
    failing(app)
    assert outcomes(app, give_up_after="2m") == ["retried", "retried", "dead", "max_age"]
    assert outcomes(app, give_up_after=0) == ["dead", "max_age"]
    assert outcomes(app, give_up_after="2m", after="1 hour") == ["retried", "retried", "dead", "max_age"]


@pytest.mark.parametrize(
    ("discard", "kind"),
    [
        ((), "discarded"),
        (Discard(max_age="1s"), "discarded"),
        (Discard(max_age="5h", then="dead_letter"), "dead"),
        (Discard(when=lambda _: False), "discarded"),
    ],
)
def test_the_publisher_says_from_which_age_it_is_not_handled_and_the_actor_what_then(
    discard: Any, kind: str
) -> None:
    app = new_app()
    failing(app, discard=discard)
    assert outcomes(app, max_age="150s") == ["retried", "retried", kind, "max_age"]


def test_what_is_too_old_when_it_is_fetched_first_is_not_handled() -> None:
    app = new_app()
    failing(app)
    with Stage(app) as stage:
        app.publish(A, max_age="1m")
        stage._clock.advance(61_000)
        stage.run()
        assert [each.reason for each in stage.discarded] == ["max_age"]


def test_other_rules_of_the_actor_hold_beside_the_publisher_s_age() -> None:
    app = new_app()
    failing(app, discard=Discard(when=lambda event: event.order_id == "A"))
    assert outcomes(app, max_age="1h") == ["discarded", "body"]


def test_each_event_has_its_own(app: Callboard) -> None:
    seen: list[tuple[str, int]] = []

    @app.actor(retry=Retry.every("1 ms", max_attempts=2))
    def fail(event: OrderPlaced, ctx: Context) -> None:
        seen.append((event.order_id, ctx.attempt))
        raise ConnectionError

    app.publish(OrderPlaced("once"), max_attempts=1)
    app.publish(OrderPlaced("as declared"))
    app.publish_many([OrderPlaced("thrice")], max_attempts=3)
    work_off(app)
    assert sorted(seen) == [
        ("as declared", 1),
        ("as declared", 2),
        ("once", 1),
        ("thrice", 1),
        ("thrice", 2),
        ("thrice", 3),
    ]


@pytest.mark.parametrize("is_async", [False, True])
def test_the_publisher_s_timeout_goes_before_the_actor_s(app: Callboard, is_async: bool) -> None:
    left: list[float] = []

    def remaining(ctx: Context) -> None:
        left.append(ctx.remaining().total_seconds())

    if is_async:

        @app.actor(timeout="5s", retry=Retry.never())
        async def handler(event: OrderPlaced, ctx: Context) -> None:
            remaining(ctx)
            await asyncio.sleep(10)
    else:

        @app.actor(timeout="5s", retry=Retry.never())
        def handler_of_threads(event: OrderPlaced, ctx: Context) -> None:
            remaining(ctx)
            for _ in range(10_000):
                time.sleep(0.001)

    app.publish(A, timeout="0.2s")
    work_off(app)
    record = ended(app)
    assert record.history.last_error is not None
    assert record.history.last_error.message == "interrupted after its timeout of 0.2 s"
    assert 0 < left[0] <= 0.2


def test_a_worker_bounds_the_timeout_by_its_own_ceiling(app: Callboard) -> None:
    generous = Callboard("web", mailbox=app.mailbox, longest_timeout="10m")
    generous.contract(OrderPlaced)
    left: list[timedelta] = []

    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        left.append(ctx.remaining())

    app.mailbox.register(app.routes.declared)
    generous.publish(A, timeout="9m")
    work_off(app)
    assert timedelta(seconds=59) < left[0] <= timedelta(seconds=60)


def test_what_is_more_than_the_app_allows_is_refused_and_nothing_is_stored(app: Callboard) -> None:
    failing(app)
    with pytest.raises(InvalidOption, match="at most 60 s"):
        app.publish(A, timeout="2m")
    with pytest.raises(InvalidOption, match="counts all starts"):
        app.publish_many([A, A], max_attempts=0)
    with pytest.raises(TypeError, match="no `retries`"):
        app.publish(A, retries=3)  # type: ignore[call-arg]  # that is what is tested
    assert queue_of(app).accepted == 0


def test_what_a_handler_publishes_has_its_own(app: Callboard) -> None:
    attempts: list[tuple[str, int]] = []

    @app.actor
    def first(event: OrderPlaced, ctx: Context) -> None:
        if event.order_id == "A":
            ctx.publish(OrderPlaced("B"), max_attempts=2)

    @app.actor(retry=Retry.every("1 ms", max_attempts=3))
    def second(event: OrderPlaced, ctx: Context) -> None:
        attempts.append((event.order_id, ctx.attempt))
        raise ConnectionError

    app.publish(A, max_attempts=1)
    work_off(app)
    assert sorted(attempts) == [("A", 1), ("B", 1), ("B", 2)]  # two threads, in no order


def test_apublish_takes_them_too(app: Callboard) -> None:
    seen: list[int] = []

    @app.actor(retry=Retry.every("1 ms"))
    def fail(event: OrderPlaced, ctx: Context) -> None:
        seen.append(ctx.attempt)
        raise ConnectionError

    asyncio.run(app.apublish(A, max_attempts=2))
    work_off(app)
    assert seen == [1, 2]


def test_a_store_forgets_the_key_of_what_the_publisher_s_age_ends(app: Callboard) -> None:
    store = MemoryDedupStore()
    failing(app, retry=Retry.every("1h"), dedup=Dedup(store=store, key="order_id"))
    app.publish(A, max_age="1m")
    work_off(app)
    assert ended(app).reason == "max_age"
    assert store.claim("fail:A", b"0" * 16, owner="me", lease_ms=1).verdict == "fresh"


def test_a_batch_may_take_as_long_as_the_shortest_of_its_events(app: Callboard) -> None:
    left: list[timedelta] = []

    @app.actor(batch=Batch(size=3, wait="5s"), timeout="5s")
    def handler(events: list[OrderPlaced], ctx: BatchContext) -> None:
        left.append(ctx.remaining())

    for timeout in (None, "2s", "4s"):
        app.publish(OrderPlaced(f"{timeout}"), timeout=timeout)
    with working(app):
        until(lambda: queue_of(app).succeeded == 3, "the batch to be done")
    assert timedelta(seconds=1) < left[0] <= timedelta(seconds=2)


def test_each_event_of_a_batch_is_tried_as_often_as_was_said_of_it(app: Callboard) -> None:
    @app.actor(batch=Batch(size=2, wait="1 ms"), retry=Retry.every("1 ms", max_attempts=4))
    def handler(events: list[OrderPlaced], ctx: BatchContext) -> None:
        for event in events:
            ctx.fail(event, ConnectionError())

    app.publish(OrderPlaced("twice"), max_attempts=2)
    app.publish(OrderPlaced("as declared"))
    work_off(app)
    assert sorted(each.history.attempts for each in app.mailbox.ended("default")) == [2, 4]
