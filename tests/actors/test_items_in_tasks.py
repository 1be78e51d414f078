"""Items under a real worker: asynchronous sources, tasks and threads, layers, and what they publish."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from callboard import Callboard, Context, Item, PartialFailure, Retry
from callboard.messages.items import ItemCounts
from callboard.middleware.attempt import Attempt
from callboard.middleware.layer import Layering
from tests.actors.catalog import CatalogChanged, Partner, skus, syncing
from tests.actors.rehearsal import (
    ended,
    queue_of,
    work_off,
)

QUICK = Retry.every("1 ms", max_attempts=20)


def test_items_may_come_from_an_asynchronous_source(app: Callboard) -> None:
    calls: list[int] = []

    async def pages() -> AsyncIterator[int]:
        for number in range(5):
            await asyncio.sleep(0)
            yield number

    @app.actor(name="sync", retry=QUICK)
    async def sync(event: CatalogChanged, ctx: Context) -> None:
        del event
        async for item in ctx.items(pages()):
            async with item:
                calls.append(item.value)
                if item.value == 3 and item.attempt == 1:
                    raise ConnectionError

    app.publish(CatalogChanged([]))
    work_off(app)
    assert calls == [0, 1, 2, 3, 4, 3]


@pytest.mark.parametrize("durable", [False, True])
def test_items_may_be_worked_on_at_once(app: Callboard, durable: bool) -> None:
    most, running = list[int](), list[str]()

    @app.actor(name="sync", retry=QUICK)
    async def sync(event: CatalogChanged, ctx: Context) -> None:
        async with asyncio.TaskGroup() as group:

            async def work(item: Item[str]) -> None:
                async with item:
                    running.append(item.key)
                    await asyncio.sleep(0.001)
                    most.append(len(running))
                    running.remove(item.key)
                    if item.attempt == 1 and item.value == "sku-3":
                        raise ConnectionError

            async for item in ctx.items(event.skus, durable=durable):
                group.create_task(work(item))

    app.publish(CatalogChanged(skus(10)))
    work_off(app)
    assert max(most) > 1
    assert len(most) == 11
    assert queue_of(app).succeeded == 1


def test_items_may_be_worked_on_by_threads(app: Callboard) -> None:
    calls: list[str] = []

    @app.actor(name="sync", retry=QUICK)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        def work(item: Item[str]) -> None:
            with item:
                calls.append(item.value)
                if item.attempt == 1 and item.value == "sku-3":
                    raise ConnectionError

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, ctx.items(event.skus)))

    app.publish(CatalogChanged(skus(50)))
    work_off(app)
    assert sorted(calls) == sorted([*skus(50), "sku-3"])


def test_a_layer_sees_how_the_items_of_an_attempt_fared(app: Callboard) -> None:
    seen: list[tuple[ItemCounts | None, BaseException | None]] = []

    @app.layer
    def watch(attempt: Attempt) -> Layering:
        outcome = yield
        seen.append((None if attempt.items is None else attempt.items.counts, attempt.exception))
        return outcome

    syncing(app, Partner("sku-1"), retry=Retry.never())

    @app.actor(name="other")
    def other(event: CatalogChanged) -> None:
        del event

    app.publish(CatalogChanged(skus(3)))
    work_off(app)
    counts = sorted((each for each, _ in seen), key=lambda each: each is None)
    assert counts == [ItemCounts(succeeded=2, failed=1), None]
    assert any(isinstance(error, PartialFailure) for _, error in seen)


@pytest.mark.parametrize("how", ["async for", "async with", "await items.load()"])
def test_what_would_hold_the_event_loop_up_is_an_error_that_names_the_mend(app: Callboard, how: str) -> None:
    @app.actor(name="sync", retry=Retry.every("1 ms", max_attempts=2))
    async def sync(event: CatalogChanged, ctx: Context) -> None:
        if how == "async for":
            for _ in ctx.items(event.skus):
                pass
        items = ctx.items(event.skus, durable=True)
        if how == "await items.load()":
            _ = items.earlier
        async for item in items:
            if how == "async with":
                with item:
                    pass
            async with item:
                raise ConnectionError

    app.publish(CatalogChanged(skus(1)))
    work_off(app)
    error = ended(app).history.last_error
    assert error is not None
    assert error.type == "InvalidItems"
    assert how in error.message


def test_an_asynchronous_source_takes_an_asynchronous_handler(app: Callboard) -> None:
    async def pages() -> AsyncIterator[int]:
        yield 1

    @app.actor(name="sync", retry=Retry.never())
    def sync(event: CatalogChanged, ctx: Context) -> None:
        del event
        for item in ctx.items(pages()):
            with item:
                pass

    app.publish(CatalogChanged([]))
    work_off(app)
    error = ended(app).history.last_error
    assert error is not None
    assert "takes an `async def` handler" in error.message


def test_events_that_items_publish_go_out_with_the_success(app: Callboard) -> None:
    got: list[str] = []

    class Synced(CatalogChanged, name="catalog.synced"):
        pass

    @app.actor(name="sync", retry=QUICK)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                if item.value == "sku-1" and ctx.attempt == 1:
                    raise ConnectionError
        ctx.publish(Synced([f"attempt {ctx.attempt}"]))

    @app.actor(name="after")
    def after(event: Synced) -> None:
        got.extend(event.skus)

    app.publish(CatalogChanged(skus(2)))
    work_off(app)
    assert got == ["attempt 2"]
