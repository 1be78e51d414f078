"""What later attempts know of earlier ones, and how several loops are told apart."""

from typing import Any

import pytest

from callboard import (
    Context,
    Item,
    PartialFailure,
    Retry,
)
from callboard.messages.errors import InvalidItems
from callboard.messages.items import ItemCounts
from callboard.testing import Stage
from tests.actors.catalog import (
    STEPS,
    CatalogChanged,
    Partner,
    seen_of,
    skus,
    syncing,
)
from tests.actors.rehearsal import new_app

# What earlier attempts did.


@pytest.mark.parametrize("on_loop", [False, True])
def test_a_handler_may_ask_what_earlier_attempts_did(on_loop: bool) -> None:
    app, told = new_app(), list[Any]()

    def look(item: Item[str]) -> None:
        told.append(seen_of(item))
        told.append(item.earlier and item.earlier.error and item.earlier.error.type)
        if item.attempt == 1 and item.value == "sku-1":
            raise ConnectionError

    if on_loop:

        @app.actor(name="sync", retry=STEPS)
        async def alook(event: CatalogChanged, ctx: Context) -> None:
            items = ctx.items(event.skus)
            await items.load()
            told.append(sorted((key, each.status.value) for key, each in items.earlier.items()))
            async for item in items:
                async with item:
                    look(item)
            told.append(items.counts)

    else:

        @app.actor(name="sync", retry=STEPS)
        def sync(event: CatalogChanged, ctx: Context) -> None:
            items = ctx.items(event.skus)
            told.append(sorted((key, each.status.value) for key, each in items.earlier.items()))
            for item in items:
                with item:
                    look(item)
            told.append(items.counts)

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(2)))
        stage.run()
        assert told == [[], ("sku-0", 1), None, ("sku-1", 1), None, ItemCounts(succeeded=1, failed=1)]
        told.clear()
        stage.advance("1m")
        earlier = [("sku-0", "succeeded"), ("sku-1", "failed")]
        assert told == [earlier, ("sku-1", 2), "ConnectionError", ItemCounts(succeeded=1, skipped=1)]


def test_the_next_attempt_of_another_identity_knows_nothing_of_this_one() -> None:
    app, partner = new_app(), Partner("sku-1")
    syncing(app, partner, retry=Retry.never())
    with Stage(app, expect=PartialFailure) as stage:
        for _ in range(2):
            app.publish(CatalogChanged(skus(2)), dedup_key="same")
            stage.run()
        assert partner.take_calls() == ["sku-0", "sku-1"] * 2
        assert [len(dead.items) for dead in stage.dead] == [2, 2]


def test_a_lost_worker_leaves_what_was_written() -> None:
    app, partner = new_app(), Partner("sku-1")
    syncing(app, partner)
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        stage.crash("sync", times=2)
        partner.take_calls()
        stage.advance("10m")
        assert partner.take_calls()[0] == "sku-1"
        assert "sku-0" not in partner.calls


# Loops by name.


def test_loops_with_names_have_items_of_their_own() -> None:
    app, partner = new_app(), Partner("prices:sku-1")

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for name in ("", "prices"):
            for item in ctx.items(event.skus, name=name):
                with item:
                    partner.sync(f"{name}:{item.value}")

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(2)))
        stage.run()
        assert partner.take_calls() == [":sku-0", ":sku-1", "prices:sku-0", "prices:sku-1"]
        partner.failing.clear()
        stage.advance("1m")
        assert partner.take_calls() == ["prices:sku-1"]


@pytest.mark.parametrize("name", ["", "prices"])
def test_two_loops_of_one_name_are_an_error(name: str) -> None:
    app = new_app()

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for _ in range(2):
            for item in ctx.items(event.skus, name=name):
                with item:
                    pass

    with Stage(app) as stage:
        app.publish(CatalogChanged(skus(2)))
        with pytest.raises(InvalidItems, match="give each a name of its own"):
            stage.run()


def test_items_are_gone_through_once() -> None:
    app = new_app()

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        items = ctx.items(event.skus)
        for item in items:
            with item:
                pass
        list(items)

    with Stage(app) as stage:
        app.publish(CatalogChanged(skus(2)))
        with pytest.raises(InvalidItems, match="go through each once"):
            stage.run()


def test_an_item_is_worked_on_once() -> None:
    app = new_app()

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                pass
            with item:
                pass

    with Stage(app) as stage:
        app.publish(CatalogChanged(skus(2)))
        with pytest.raises(InvalidItems, match="worked on once"):
            stage.run()


def test_a_loop_within_an_item_that_has_no_name_is_the_handlers_error() -> None:
    app = new_app()

    @app.actor(name="sync", retry=STEPS)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                for inner in ctx.items(["a"]):
                    with inner:
                        pass

    with Stage(app) as stage:
        app.publish(CatalogChanged(skus(2)))
        with pytest.raises(InvalidItems, match="give each a name of its own"):
            stage.run()
