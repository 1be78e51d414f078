"""What commands show of items: how many fared how, and some of them, those that are not done first."""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter, validators
from msgspec import structs
from rich.markup import escape

from ..messages.items import ItemRecord, ItemStatus

Items = Annotated[
    int,
    Parameter(
        validator=validators.Number(gte=0),
        help="So many items of a delivery at most, those that failed first.",
    ),
]

MOST_SHOWN = 100
"""Items of one delivery that are shown unless more are asked for: there may be 100,000 of each."""


class ItemsCounted(msgspec.Struct, frozen=True):
    """How many items fared how."""

    succeeded: int = 0
    failed: int = 0
    skipped: int = 0


_SHOWN_FIRST = (ItemStatus.FAILED, ItemStatus.SKIPPED, ItemStatus.SUCCEEDED)


def counted_items(items: Sequence[ItemRecord]) -> ItemsCounted:
    """How many of them fared how."""
    return ItemsCounted(**Counter(each.status.value for each in items))


def some_items(items: Sequence[ItemRecord], most: int) -> tuple[ItemRecord, ...]:
    """So many of them at most: failed ones first, then skipped ones, each in the order of their keys."""
    order = {status: place for place, status in enumerate(_SHOWN_FIRST)}
    return tuple(heapq.nsmallest(most, items, key=lambda each: (order[each.status], each.field)))


def drawn_items(counts: ItemsCounted, some: Sequence[ItemRecord]) -> Iterator[str]:
    """A line of counts, and one for each that did not succeed and is among those that are shown."""
    told = ", ".join(f"{count:,} {status}" for status, count in structs.asdict(counts).items() if count)
    if not told:
        return
    yield f"    items       {told}"
    shown = [each for each in some if each.status is not ItemStatus.SUCCEEDED]
    for each in shown:
        error = f" {each.error.type}" if each.error else ""
        yield f"      {each.status} {escape(each.key)}: attempts {each.attempts}{escape(error)}"
    if more := counts.failed + counts.skipped - len(shown):
        yield f"      {more:,} more did not succeed: --items says how many are told"
