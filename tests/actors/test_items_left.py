"""Where a loop over items stops, and what the next attempt makes of it."""

import asyncio

import dramatiq
import pytest

from callboard import (
    Callboard,
    Context,
    Discard,
    DiscardEvent,
    HandlerTimeout,
    PartialFailure,
    RejectEvent,
    RetryLater,
)
from callboard.messages.items import ItemCounts
from callboard.testing import Stage
from tests.actors.catalog import (
    STEPS,
    CatalogChanged,
    Declare,
    Partner,
    both,
    linger,
    skus,
    states,
    syncing,
)
from tests.actors.rehearsal import new_app

# What is about the attempt, and no item's.


@pytest.mark.parametrize(
    ("signal", "outcome"),
    [
        (RetryLater("5m"), "retried"),
        (DiscardEvent("not wanted"), "discarded"),
        (RejectEvent("broken"), "dead"),
        (dramatiq.Retry(delay=1000), "retried"),
        (dramatiq.RateLimitExceeded("busy"), "released"),
    ],
    ids=lambda each: type(each).__name__,
)
@both
def test_a_signal_about_the_delivery_leaves_the_loop(
    declare: Declare, signal: Exception, outcome: str
) -> None:
    app = new_app()
    partner = Partner("sku-1", error=lambda _: signal)
    declare(app, partner)
    with Stage(app, expect=dramatiq.Retry) as stage:
        app.publish(CatalogChanged(skus(3)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("callboard.middleware.timeout.CONTENTION_MS", 60_000)
            stage.run()
        assert stage.outcomes() == [outcome]
        assert partner.take_calls() == ["sku-0", "sku-1"]
        assert states(stage.attempts[0].items) == {"sku-0": "succeeded"}
        if outcome in ("retried", "released"):
            partner.failing.clear()
            stage.advance("5m")
            assert partner.take_calls() == ["sku-1", "sku-2"]
        else:
            (ended,) = [*stage.dead, *stage.discarded]
            assert states(ended.items) == {"sku-0": "succeeded"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_of_the_work_leaves_the_loop(error: type[BaseException]) -> None:
    app, partner = new_app(), Partner("sku-1", error=lambda _: error())
    syncing(app, partner)
    with Stage(app, expect=error) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        assert stage.outcomes() == ["retried"]
        assert states(stage.attempts[0].items) == {"sku-0": "succeeded"}


@pytest.mark.parametrize("on_loop", [False, True])
def test_a_timeout_is_the_attempts_and_what_was_done_before_stays_done(on_loop: bool) -> None:
    app, calls = new_app(), list[str]()
    _sleepers(app, calls, on_loop=on_loop)
    with Stage(app, expect=HandlerTimeout) as stage:
        app.publish(CatalogChanged(skus(4)))
        stage.run()
        (first,) = stage.attempts
        assert isinstance(first.error, HandlerTimeout)
        assert states(first.items) == {"sku-0": "succeeded", "sku-1": "succeeded"}
        assert first.item_counts == ItemCounts(succeeded=2, not_done=2)
        assert calls == ["sku-0", "sku-1", "sku-2"]
        stage.advance("1m")
        assert calls[3:] == ["sku-2", "sku-3"]
        assert stage.outcomes() == ["retried", "succeeded"]


def _sleepers(app: Callboard, calls: list[str], *, on_loop: bool) -> None:
    """An actor whose third item takes longer than may be, the first time."""

    def is_slow(sku: str) -> bool:
        calls.append(sku)
        return sku == "sku-2" and calls.count(sku) == 1

    if on_loop:

        @app.actor(name="sync", retry=STEPS, timeout="50ms")
        async def asleep(event: CatalogChanged, ctx: Context) -> None:
            async for item in ctx.items(event.skus):
                with item:
                    if is_slow(item.value):
                        await asyncio.sleep(20)

        return

    @app.actor(name="sync", retry=STEPS, timeout="50ms")
    def sleep(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                if is_slow(item.value):
                    linger()


def test_a_handler_that_catches_its_timeout_comes_to_no_further_item() -> None:
    app, calls = new_app(), list[str]()

    @app.actor(name="sync", retry=STEPS, timeout="30ms")
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                calls.append(item.value)
                try:
                    linger()
                except BaseException as error:
                    raise ValueError("anything") from error

    with Stage(app, expect=HandlerTimeout) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        assert calls == ["sku-0"]
        assert stage.outcomes() == ["retried"]
        assert states(stage.attempts[0].items) == {"sku-0": "failed"}


# Loops that do not come to their end.


@pytest.mark.parametrize("on_loop", [False, True])
def test_a_loop_that_is_left_early_leaves_the_rest_undone(on_loop: bool) -> None:
    app, calls = new_app(), list[str]()
    if on_loop:

        @app.actor(name="sync", retry=STEPS)
        async def apart(event: CatalogChanged, ctx: Context) -> None:
            async for item in ctx.items(event.skus):
                with item:
                    calls.append(item.value)
                if len(calls) == 2:
                    break

    else:

        @app.actor(name="sync", retry=STEPS)
        def part(event: CatalogChanged, ctx: Context) -> None:
            for item in ctx.items(event.skus):
                with item:
                    calls.append(item.value)
                if len(calls) == 2:
                    break

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(5)))
        stage.run()
        (first,) = stage.attempts
        assert (first.outcome, first.item_counts) == ("retried", ItemCounts(succeeded=2, not_done=3))
        expected = "3 items not done: the loop was left before its end; 2 succeeded, 0 skipped"
        assert str(first.error) == expected
        stage.advance("1m")
        assert calls == skus(5)
        assert stage.outcomes() == ["retried", "succeeded"]


def test_of_a_source_without_a_length_it_is_not_known_how_many_are_left() -> None:
    app = new_app()

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(iter(event.skus)):
            with item:
                return

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(5)))
        stage.run()
        told = "items not done: the loop was left before its end; 1 succeeded, 0 skipped"
        assert str(stage.attempts[0].error) == told


def test_an_item_that_is_not_entered_is_not_done() -> None:
    app, entered = new_app(), list[str]()

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            if item.value == "sku-1" and not entered:
                continue
            with item:
                pass
        entered.append("all")

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        told = "1 item not done: what was begun in no `with item:`, or did not end; 2 succeeded, 0 skipped"
        assert str(stage.attempts[0].error) == told
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "succeeded"]


def test_a_handler_that_raises_fails_with_that_and_what_was_done_stays_done() -> None:
    app, partner = new_app(), Partner("sku-1")

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                partner.sync(item.value)
        if partner.failing:
            raise KeyError("after the loop")

    with Stage(app, expect=KeyError) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        assert isinstance(stage.attempts[0].error, KeyError)
        partner.take_calls()
        partner.failing.clear()
        stage.advance("1m")
        assert partner.take_calls() == ["sku-1"]
        assert stage.outcomes() == ["retried", "succeeded"]


def test_an_item_that_is_not_offered_any_more_is_not_asked_for() -> None:
    app, partner = new_app(), Partner("sku-1")

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items([sku for sku in event.skus if sku in partner.failing or ctx.attempt == 1]):
            with item:
                partner.sync(item.value)

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        partner.failing.clear()
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "succeeded"]


def test_a_rule_of_discarding_applies_to_a_partial_failure() -> None:
    app, partner = new_app(), Partner("sku-1")

    @app.actor(name="sync", retry=STEPS, discard=Discard(max_attempts=2))
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                partner.sync(item.value)

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(2)))
        stage.advance("1h")
        assert stage.outcomes() == ["retried", "discarded"]
        (ended,) = stage.discarded
        assert states(ended.items) == {"sku-0": "succeeded", "sku-1": "failed"}
