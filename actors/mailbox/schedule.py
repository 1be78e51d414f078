"""What is due later in a mailbox: listing it, moving it to another time, and cancelling what has not begun.

Words of a server stay out of it.
"""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from ...messages.delivery import Reason
from ...messages.timing import After
from .records import FoundDelivery, Records, State

MOST_ON_A_PAGE = 1_000
"""Schedules that are listed in one call, so that nobody else waits long."""


class Became(StrEnum):
    """What became of a delivery that was to be cancelled or moved."""

    CANCELLED = "cancelled"
    """It will not run: it is discarded with the reason `cancelled`, by this call or an earlier one."""
    MOVED = "moved"
    RUNNING = "running"
    """A worker has it, so it goes on."""
    DONE = "done"
    """It has ended: it succeeded, or is dead or discarded for another reason."""
    UNKNOWN = "unknown"
    """Nothing is known of it: it never was, or ended longer ago than is remembered."""


class Changed(msgspec.Struct, frozen=True):
    """One delivery that was to be cancelled or moved, and what became of it."""

    id: str
    """`actor:key`; what was asked for, where nothing is known of that."""
    became: Became

    @property
    def actor(self) -> str:
        """The name of the actor it is for."""
        return self.id.partition(":")[0]


class Scheduled(msgspec.Struct, frozen=True):
    """One delivery that is due later."""

    id: str
    """`actor:key`."""
    queue: str
    due_at: int
    """Epoch milliseconds."""
    attempts: int = 0
    """Attempts that were charged: a delivery with some waits for its retry."""

    @property
    def actor(self) -> str:
        """The name of the actor it is for."""
        return self.id.partition(":")[0]

    @property
    def place(self) -> tuple[int, bytes]:
        """What a queue's schedules are sorted by."""
        return self.due_at, self.id.encode()


class Waiting(msgspec.Struct, frozen=True):
    """A delivery that has not ended, and where it was found."""

    id: str
    queue: str


class Answer(StrEnum):
    """What a mailbox says of one delivery that was to be taken from where it waits."""

    TAKEN = "t"
    LEASED = "l"
    GONE = "g"


class Schedule(ABC):
    """What is due later, and changing it. Raises what `Mailbox` does; every call may be made again."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def cancel(self, identity: str, detail: str = "") -> tuple[Changed, ...]:
        """Let what has not begun of an event, or of one delivery, not begin: it ends as discarded.

        `identity` is the event's id or the delivery's (`actor:key`). Whatever waits can be cancelled:
        scheduled, a retry, ready, in a lane, or taken over. What is leased goes on. Of each delivery that
        is known of it is told what became of it, and of nothing else than that it is unknown.
        """
        return self._change(identity, Became.CANCELLED, lambda some: self._cancel(some, detail))

    def move(self, identity: str, after: After) -> tuple[Changed, ...]:
        """Let what waits of an event, or of one delivery, begin at another time.

        What was not tried yet is due anew: its age counts from then, and it leaves its ordered lane until
        then. A retry keeps both.
        """
        return self._change(identity, Became.MOVED, lambda some: self._move(some, after))

    def foresee(self, identity: str, wanted: Became) -> tuple[Changed, ...]:
        """What would become of each delivery if it were cancelled or moved now; changes nothing."""
        found = self._records.find(identity)
        foreseen = tuple(Changed(each.id, _would_be(each, wanted)) for each in found)
        return foreseen or (Changed(identity, Became.UNKNOWN),)

    def soonest(self, queues: Iterable[str]) -> Iterator[Scheduled]:
        """The schedules of some queues, the soonest first, read page by page."""
        return heapq.merge(*(self._all_of(queue) for queue in queues), key=lambda each: each.place)

    @abstractmethod
    def page(self, queue: str, limit: int, after: Scheduled | None = None) -> list[Scheduled]:
        """The schedules of a queue, the soonest first, from the one behind `after` on."""

    @abstractmethod
    def _cancel(self, some: Sequence[Waiting], detail: str) -> list[Answer]:
        """Cancel each of these, in one step."""

    @abstractmethod
    def _move(self, some: Sequence[Waiting], after: After) -> list[Answer]:
        """Move each of these, in one step."""

    def _change(
        self, identity: str, wanted: Became, change: Callable[[Sequence[Waiting]], list[Answer]]
    ) -> tuple[Changed, ...]:
        found = self._records.find(identity)
        some = [Waiting(each.id, each.queue) for each in found if each.live is not None]
        answers = dict(zip([each.id for each in some], change(some) if some else (), strict=True))
        changed = tuple(self._became(each, answers.get(each.id), wanted) for each in found)
        return changed or (Changed(identity, Became.UNKNOWN),)

    def _became(self, found: FoundDelivery, answer: Answer | None, wanted: Became) -> Changed:
        if answer is Answer.TAKEN:
            return Changed(found.id, wanted)
        if answer is Answer.LEASED:
            return Changed(found.id, Became.RUNNING)
        if answer is Answer.GONE:
            # It ended since it was looked up; or by this very call, whose first reply was lost.
            return Changed(found.id, self._end_of(found.id))
        return Changed(found.id, _ended_as(found))

    def _end_of(self, identity: str) -> Became:
        for found in self._records.find(identity):
            if found.id == identity and found.live is None:
                return _ended_as(found)
        return Became.UNKNOWN

    def _all_of(self, queue: str) -> Iterator[Scheduled]:
        last: Scheduled | None = None
        while page := self.page(queue, MOST_ON_A_PAGE, last):
            # What it goes on from may be due by now, and then a page begins with all that were due with it.
            yield from [each for each in page if last is None or each.place > last.place]
            last = page[-1]


def _would_be(found: FoundDelivery, wanted: Became) -> Became:
    if found.live is None:
        return _ended_as(found)
    return Became.RUNNING if found.live.state is State.LEASED else wanted


def _ended_as(found: FoundDelivery) -> Became:
    latest = found.ended[0] if found.ended else None
    if latest is None or latest.reason is not Reason.CANCELLED:
        return Became.DONE
    completed = found.completed
    return Became.CANCELLED if completed is None or completed.at <= latest.at else Became.DONE
