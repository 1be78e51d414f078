"""What a handler loops over to have each item of its event recorded: `ctx.items` and its items."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import dramatiq

from ..messages.errors import AttemptLost, InvalidItems, LedgerUnreadable
from ..messages.items import ItemCounts, ItemRecord, field_of
from ..middleware.signals import Signal
from .attempt_items import AttemptItems, Loop
from .item_keys import check_loop, key_of, repeated

T = TypeVar("T")

OF_THE_ATTEMPT = (
    Signal,
    dramatiq.Retry,
    dramatiq.RateLimitExceeded,
    AttemptLost,
    LedgerUnreadable,
    InvalidItems,
)
"""What says something of the whole attempt, so that no item has failed by it."""


class Item(Generic[T]):
    """One item. What is done for it stands in `with item:`, or in `async with item:` where that may be.

    An exception in there marks the item as failed, and the loop goes on. Signals about the delivery
    (`RetryLater`, `DiscardEvent`, `RejectEvent`), a timeout and cancellation are none of the item's, and
    leave the loop.
    """

    __slots__ = ("_began", "_durable", "_items", "_loop", "earlier", "key", "value")

    def __init__(
        self,
        value: T,
        key: str,
        earlier: ItemRecord | None,
        items: AttemptItems,
        loop: str,
        *,
        durable: bool,
    ) -> None:
        self.value = value
        self.key = key
        self.earlier = earlier
        """What an earlier attempt made of it; None if none did."""
        self._items = items
        self._loop = loop
        self._durable = durable
        self._began: int | None = None

    @property
    def attempt(self) -> int:
        """The number of this try, counted from 1."""
        return 1 if self.earlier is None else self.earlier.attempts + 1

    def __enter__(self) -> Self:
        if self._durable and self._items.is_async:
            raise InvalidItems(
                "a durable item waits for the mailbox: write `async with item:` in `async def`"
            )
        return self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        del kind, traceback
        is_noted = self._end(error)
        if is_noted and self._durable:
            self._items.writer.write(self._items)
        return is_noted and error is not None

    async def __aenter__(self) -> Self:
        return self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        del kind, traceback
        is_noted = self._end(error)
        if is_noted and self._durable:
            await asyncio.to_thread(self._items.writer.write, self._items)
        return is_noted and error is not None

    def _begin(self) -> Self:
        if self._began is not None:
            raise InvalidItems("an item is worked on once: take the next one of the loop")
        self._began = self._items.delivery.clock.now()
        return self

    def _end(self, error: BaseException | None) -> bool:
        """Note what became of it; False if that is not for the item to say."""
        if error is None:
            self._items.note(self._loop, self.key, self._began or 0, None)
            return True
        if not isinstance(error, Exception) or isinstance(error, OF_THE_ATTEMPT):
            return False
        self._items.note(self._loop, self.key, self._began or 0, error)
        return True

    def __repr__(self) -> str:
        return f"<Item attempt={self.attempt}>"


class Items(Generic[T]):
    """A loop over items, gone through once, that leaves out those an earlier attempt was done with."""

    def __init__(
        self,
        values: Iterable[T] | AsyncIterable[T],
        items: AttemptItems,
        *,
        key: Callable[[T], Any] | None,
        name: str,
        durable: bool,
    ) -> None:
        self._values = values
        self._items = items
        self._key = key
        self._durable = durable
        self._loop = Loop(check_loop(name), len(values) if isinstance(values, Sized) else None)

    @property
    def earlier(self) -> Mapping[str, ItemRecord]:
        """What earlier attempts made of the items of this loop, by their keys."""
        if self._items.is_async and not self._items.is_loaded:
            raise InvalidItems(
                "what earlier attempts did is read when `async for` begins: ask in the loop, or call "
                "`await items.load()` before"
            )
        name = self._loop.name
        return {each.key: each for each in self._items.earlier.values() if each.loop == name}

    async def load(self) -> None:
        """Read what earlier attempts did, for an `async def` handler that asks before its loop begins."""
        if not self._items.is_loaded:
            await asyncio.to_thread(lambda: self._items.earlier)

    @property
    def counts(self) -> ItemCounts:
        """How the items of this attempt have fared so far, those of all its loops."""
        return self._items.counts

    def __iter__(self) -> Iterator[Item[T]]:
        if self._items.is_async:
            raise InvalidItems(
                "an `async def` handler must not wait here: write `async for item in ctx.items(...)`"
            )
        if not isinstance(self._values, Iterable):
            raise InvalidItems(
                "these items come from an asynchronous source, which takes an `async def` handler"
            )
        return self._each(self._values)

    def __aiter__(self) -> AsyncIterator[Item[T]]:
        return self._aeach()

    def _each(self, values: Iterable[T]) -> Iterator[Item[T]]:
        self._items.begin(self._loop)
        earlier = self._items.earlier
        for value in values:
            item = self._next(value, earlier)
            if item is not None:
                yield item
        self._loop.at_end = True

    async def _aeach(self) -> AsyncIterator[Item[T]]:
        await self.load()
        if isinstance(self._values, Iterable):
            for each in self._each(self._values):
                yield each
            return
        self._items.begin(self._loop)
        earlier = self._items.earlier
        async for value in self._values:
            item = self._next(value, earlier)
            if item is not None:
                yield item
        self._loop.at_end = True

    def _next(self, value: T, earlier: Mapping[str, ItemRecord]) -> Item[T] | None:
        """The item of a value; None if an earlier attempt was done with it."""
        items, loop = self._items, self._loop
        key = key_of(value, self._key, loop.met)
        field = field_of(loop.name, key)
        if not items.meet(field):
            raise repeated(key, loop.met, loop.name)
        loop.met += 1
        before = earlier.get(field)
        if before is not None and before.is_done:
            items.pass_over(field)
            return None
        return Item(value, key, before, items, loop.name, durable=self._durable)
