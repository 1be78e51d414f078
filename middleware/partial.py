"""What an attempt comes to that worked through many items, and was not done with all of them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Protocol

from ..messages.errors import CallboardError
from ..messages.items import ItemCounts, ItemRecord

KEYS_TOLD = 5
"""Failed items that the text of the error names."""

LONGEST_KEY_TOLD = 40
"""Characters of their keys."""


class PartialFailure(CallboardError):
    """What an attempt fails with whose handler returned with items that failed or that it was not done with.

    `counts` says how they fared, `failed` names the keys of those that failed now or for good before,
    `unfinished` says whether another attempt would have something to do: if not, the delivery is dead.
    """

    def __init__(
        self, counts: ItemCounts, failed: Sequence[tuple[str, str]], *, unfinished: bool, left_early: bool
    ) -> None:
        self.counts = counts
        self.failed = tuple(key for key, _ in failed)
        self.unfinished = unfinished
        super().__init__(_words(counts, failed, left_early=left_early))


def _words(counts: ItemCounts, failed: Sequence[tuple[str, str]], *, left_early: bool) -> str:
    told = [f"{_short(key)} ({error})" for key, error in islice(failed, KEYS_TOLD)]
    more = f" and {len(failed) - KEYS_TOLD:,} more" if len(failed) > KEYS_TOLD else ""
    parts = [f"{_items(len(failed))} failed: {', '.join(told)}{more}"] if failed else []
    if counts.not_done or left_early:
        known = _items(counts.not_done) if counts.not_done else "items"
        parts.append(f"{known} not done: {'the loop was left before its end' if left_early else _NOT_ENDED}")
    parts.append(f"{counts.succeeded:,} succeeded, {counts.skipped:,} skipped")
    return "; ".join(parts)


_NOT_ENDED = "what was begun in no `with item:`, or did not end"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"


def _short(key: str) -> str:
    return key if len(key) <= LONGEST_KEY_TOLD else f"{key[: LONGEST_KEY_TOLD - 1]}…"


class ItemsAtWork(Protocol):
    """The items of one attempt, as the floors below its handler know them."""

    @property
    def counts(self) -> ItemCounts:
        """How they have fared so far."""
        ...

    @property
    def records(self) -> Mapping[str, ItemRecord]:
        """What this attempt has made of items."""
        ...

    def conclude(self) -> PartialFailure | None:
        """The handler has returned: what its attempt fails with if it was not done with all."""
        ...

    def finish(self, then: Callable[[], None]) -> None:
        """Take no more; call `then` once all that became of items is durable, or can never be."""
        ...
