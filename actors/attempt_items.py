"""The items of one attempt: what earlier attempts were done with, and what becomes of the rest."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from ..messages.errors import AttemptLost, InvalidItems
from ..messages.items import ItemCounts, ItemRecord, ItemStatus, field_of, item_error
from ..middleware.attempt import Attempt
from ..middleware.partial import PartialFailure
from ..middleware.retry import DEFAULT_RETRY
from ..middleware.signals import RejectItem, SkipItem, TimeIsUp

if TYPE_CHECKING:
    from .item_writer import ItemWriter

MOST_ITEMS = 100_000
"""Items that one attempt may go through: all of them are remembered until its delivery has ended."""


class Loop(msgspec.Struct, eq=False):
    """One loop over items, as far as it has come."""

    name: str
    total: int | None
    """How many there are; None where that is not known before the end."""
    met: int = 0
    """How many it has come to."""
    at_end: bool = False

    @property
    def known(self) -> int:
        """How many there are, as far as known."""
        return self.met if self.at_end or self.total is None else max(self.met, self.total)


class AttemptItems:
    """What became of items, written down by the handler's thread and made durable by the writer's.

    Nothing here takes a lock: a timeout may interrupt the handler between any two steps.
    """

    def __init__(self, attempt: Attempt, writer: "ItemWriter", *, is_async: bool) -> None:
        self.delivery = attempt.delivery
        self.is_async = is_async
        """Whether the handler runs on an event loop, which nothing may hold up."""
        self.writer = writer
        self.pending: dict[str, ItemRecord] = {}
        """What is not durable yet."""
        self.records: dict[str, ItemRecord] = {}
        """What this attempt has made of items."""
        self.cause: Exception | None = None
        """What the first item failed with."""
        self._met: dict[str, bool] = {}
        """Every item come to; whether an earlier attempt was done with it."""
        self._attempt = attempt
        self._earlier: Mapping[str, ItemRecord] | None = None if attempt.delivery.history.items else {}
        self._loops: dict[str, Loop] = {}
        self._closed = False

    # What the loops ask.

    @property
    def is_loaded(self) -> bool:
        """Whether it is known what earlier attempts did."""
        return self._earlier is not None

    @property
    def earlier(self) -> Mapping[str, ItemRecord]:
        """What earlier attempts made of items; read when first asked for, which may wait for a server."""
        if self._earlier is None:
            self._earlier = {record.field: record for record in self.writer.read(self.delivery)}
        return self._earlier

    def begin(self, loop: Loop) -> None:
        """Let a loop begin; raises `InvalidItems` if one of its name has begun already."""
        if loop.name in self._loops:
            raise InvalidItems(
                "a second loop over ctx.items in one attempt cannot be told from the first: give each a name "
                'of its own, as ctx.items(prices, name="prices"), and go through each once'
            )
        if not self._loops:
            self.writer.watch(self)
        self._loops[loop.name] = loop

    def meet(self, field: str) -> bool:
        """Come to an item; False when it was met before.

        Raises `AttemptLost` when it is another worker's, and what a timeout raises when that is over.
        """
        if self.delivery.lost:
            raise lost()
        deadline = self._attempt.deadline
        if deadline is not None and deadline.fired:
            raise TimeIsUp  # the handler has caught the first one
        if field in self._met:
            return False
        if len(self._met) >= MOST_ITEMS:
            raise InvalidItems(
                f"more than {MOST_ITEMS:,} items in one attempt: divide them among several events"
            )
        self._met[field] = False
        return True

    def pass_over(self, field: str) -> None:
        """An earlier attempt was done with this one."""
        self._met[field] = True

    def note(self, loop: str, key: str, began: int, error: Exception | None) -> None:
        """Write down what became of an item."""
        field = field_of(loop, key)
        before = self.earlier.get(field)
        record = self._record(loop, key, began, error, 1 if before is None else before.attempts + 1)
        if self._closed:
            return  # a thread that the handler left behind
        if record.status is ItemStatus.FAILED and self.cause is None:
            self.cause = error
        self.records[field] = record
        self.pending[field] = record

    def _record(self, loop: str, key: str, began: int, error: Exception | None, attempts: int) -> ItemRecord:
        now = self.delivery.clock.now()
        if error is None:
            return ItemRecord(key, ItemStatus.SUCCEEDED, attempts, began, now, None, False, loop)
        told = item_error(error, now, self._attempt.secrets())
        if isinstance(error, SkipItem):
            return ItemRecord(key, ItemStatus.SKIPPED, attempts, began, now, told, False, loop)
        retry = self._attempt.policy.retry or DEFAULT_RETRY
        rejected = isinstance(error, RejectItem) or not retry.tries_item_again(error)
        return ItemRecord(key, ItemStatus.FAILED, attempts, began, now, told, rejected, loop)

    # What the attempt comes to.

    @property
    def counts(self) -> ItemCounts:
        """How they have fared so far."""
        statuses = Counter([record.status for record in self.records.copy().values()])
        passed_over = sum(self._met.copy().values())
        known = sum(loop.known for loop in self._loops.copy().values())
        return ItemCounts(
            statuses[ItemStatus.SUCCEEDED],
            statuses[ItemStatus.FAILED],
            statuses[ItemStatus.SKIPPED] + passed_over,
            max(0, known - passed_over - statuses.total()),
        )

    def conclude(self) -> PartialFailure | None:
        """The handler has returned: what its attempt fails with if it was not done with all."""
        counts = self.counts
        left_early = not all(loop.at_end for loop in self._loops.values())
        failed = [(record.key, record.error.type) for record in self._failed() if record.error]
        if not failed and not counts.not_done and not left_early:
            return None
        unfinished = left_early or counts.not_done > 0
        unfinished = unfinished or not all(record.is_done for record in self.records.values())
        partial = PartialFailure(counts, failed, unfinished=unfinished, left_early=left_early)
        partial.__cause__ = self.cause
        return partial

    def _failed(self) -> list[ItemRecord]:
        """Those that failed in this attempt, and those it met that had failed for good before."""
        known = [self.records.get(field) or self.earlier.get(field) for field in self._met]
        return [record for record in known if record and record.status is ItemStatus.FAILED]

    def finish(self, then: Callable[[], None]) -> None:
        """Take no more; call `then` once all that became of items is durable, or can never be."""
        self._closed = True
        self.writer.finish(self, then)

    def written(self, records: Iterable[ItemRecord]) -> None:
        """These are durable."""
        for record in records:
            self.pending.pop(record.field, None)

    def fenced(self) -> None:
        """Another worker holds the delivery: nothing more can be written."""
        self.delivery.lost = True
        self.pending.clear()


def lost() -> AttemptLost:
    """The error for a handler whose delivery another worker may hold."""
    return AttemptLost("another worker may hold this delivery by now: what this attempt does is not kept")
