"""What the tests of items share: an event of many, and an actor that works through them."""

import time
from collections.abc import Callable, Iterable

import pytest

from callboard import Callboard, Context, Event, Item, Retry
from callboard.messages.items import ItemRecord

STEPS = Retry.every("1m", max_attempts=5)
"""Waits a minute after each failure."""


class CatalogChanged(Event, name="catalog.changed"):
    """An event of many items."""

    skus: list[str]


def skus(count: int) -> list[str]:
    """Keys by the names of 0, 1, 2 and so on."""
    return [f"sku-{number}" for number in range(count)]


class Partner:
    """Whom items are sent to: writes down each call, and fails where it is told to."""

    def __init__(self, *failing: str, error: Callable[[str], BaseException] = ConnectionError) -> None:
        self.calls: list[str] = []
        self.failing = set(failing)
        self.error = error

    def sync(self, sku: str) -> None:
        """Send one; raises what it is told to."""
        self.calls.append(sku)
        if sku in self.failing:
            raise self.error(f"{sku} was refused")

    def take_calls(self) -> list[str]:
        """The calls since this was asked last."""
        calls, self.calls = self.calls, []
        return calls


def syncing(app: Callboard, partner: Partner, *, durable: bool = False, retry: Retry = STEPS) -> None:
    """An actor that sends each item of an event to a partner."""

    @app.actor(name="sync", retry=retry)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus, durable=durable):
            with item:
                partner.sync(item.value)


def asyncing(app: Callboard, partner: Partner, *, durable: bool = False, retry: Retry = STEPS) -> None:
    """The same on the event loop."""

    @app.actor(name="sync", retry=retry)
    async def sync(event: CatalogChanged, ctx: Context) -> None:
        async for item in ctx.items(event.skus, durable=durable):
            async with item:
                partner.sync(item.value)


def seen_of(item: Item[str]) -> tuple[str, int]:
    """What tells an item and its try."""
    return item.value, item.attempt


Declare = Callable[..., None]
"""Declares the actor that sends items."""

both = pytest.mark.parametrize("declare", [syncing, asyncing])
"""For `def` and `async def` handlers."""


def states(records: Iterable[ItemRecord]) -> dict[str, str]:
    """The statuses of items by their keys."""
    return {record.key: record.status.value for record in records}


def linger(seconds: float = 20) -> None:
    """Take longer than any timeout of a test, but never hold an interruption up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)
