"""What the memory mailbox keeps of deliveries that have ended, until it is forgotten by age or by count."""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict, deque

from ....messages.codec import decode_envelope
from ....messages.delivery import Outcome, OutcomeKind
from ....messages.errors import UnreadableBody
from ....messages.items import ItemRecord
from ....messages.stored import HEADER_SIZE
from ..infos import NO_DEAD_LETTERS, DeadLettersInfo
from ..mailbox import MOST_RECORDED
from ..records import Cursor, EndedRecord, Facts, Page, Span
from .live import Live
from .remembered import Remembered


class Ended:
    """Records by name, and in the order in which their deliveries ended, each queue and kind apart."""

    def __init__(self, most: int = MOST_RECORDED) -> None:
        self._most = most
        self._records: dict[str, EndedRecord] = {}
        self._in_order: dict[tuple[str, OutcomeKind], list[Cursor]] = defaultdict(list)
        self._of_delivery: dict[str, deque[str]] = defaultdict(deque)
        self._items: dict[str, dict[str, ItemRecord]] = {}
        self._ends: list[tuple[int, str]] = []

    def put(self, record: EndedRecord, items: dict[str, ItemRecord], now: int) -> None:
        """Keep a record, and items, until its time; beyond the most of its kind the oldest goes."""
        self._forget_lapsed(now)
        self._records[record.id] = record
        if items:
            self._items[record.id] = items
        self._of_delivery[record.delivery].appendleft(record.id)
        heapq.heappush(self._ends, (record.until, record.id))
        self.put_in_order(record)
        in_order = self._in_order[record.queue, record.kind]
        while len(in_order) > self._most:
            self._forget(in_order[0][1])

    def get(self, name: str, now: int) -> EndedRecord | None:
        """One record by its name."""
        self._forget_lapsed(now)
        return self._records.get(name)

    def items_of(self, name: str, now: int) -> list[ItemRecord]:
        """What became of the items of the delivery of a record."""
        self._forget_lapsed(now)
        return list(self._items.get(name, {}).values())

    def take_items(self, name: str) -> dict[str, ItemRecord]:
        """The same, by what tells them apart; they are no longer kept here."""
        return self._items.pop(name, {})

    def of(self, delivery: str, now: int) -> list[EndedRecord]:
        """The records of one delivery, the latest first."""
        self._forget_lapsed(now)
        return [self._records[name] for name in self._of_delivery.get(delivery, ())]

    def page(self, span: Span, limit: int, start: Cursor | None, now: int) -> Page:
        """Some records in the order that a span wants."""
        self._forget_lapsed(now)
        in_order = self._in_order.get((span.queue, span.kind), [])
        first = bisect_left(in_order, (span.since, ""))
        end = len(in_order) if span.until is None else bisect_left(in_order, (span.until + 1, ""))
        if span.newest_first:
            end = end if start is None else bisect_left(in_order, start)
            looked_at = in_order[max(first, end - limit) : end][::-1]
            more = end - limit > first
        else:
            first = first if start is None else bisect_right(in_order, start)
            looked_at = in_order[first : min(end, first + limit)]
            more = first + limit < end
        records = [self._records[name] for _, name in looked_at]
        wanted = [record for record in records if span.actor in ("", record.actor)]
        return Page(wanted, looked_at[-1] if more else None)

    def put_in_order(self, record: EndedRecord) -> None:
        """Let it be among those of its kind."""
        insort(self._in_order[record.queue, record.kind], (record.at, record.id))

    def take_out(self, record: EndedRecord) -> None:
        """Let it be among them no more; it is still kept."""
        in_order = self._in_order[record.queue, record.kind]
        position = bisect_left(in_order, (record.at, record.id))
        if in_order[position : position + 1] == [(record.at, record.id)]:
            del in_order[position]

    def replace(self, record: EndedRecord) -> None:
        """Keep this in place of what is kept under its name."""
        self._records[record.id] = record

    def listed(self, queue: str, kind: OutcomeKind, now: int) -> list[EndedRecord]:
        """Those of one kind in a queue, the oldest first."""
        self._forget_lapsed(now)
        return [self._records[name] for _, name in self._in_order.get((queue, kind), ())]

    def dead_letters(self, queue: str, now: int) -> DeadLettersInfo:
        """What is kept of a queue's dead."""
        letters = self.listed(queue, OutcomeKind.DEAD, now)
        if not letters:
            return NO_DEAD_LETTERS
        following = min(letters, key=lambda each: (each.until, each.id))
        return DeadLettersInfo(len(letters), letters[0].at, following.until, following.at)

    def _forget_lapsed(self, now: int) -> None:
        while self._ends and self._ends[0][0] <= now:
            self._forget(heapq.heappop(self._ends)[1])

    def _forget(self, name: str) -> None:
        record = self._records.pop(name, None)
        if record is None:
            return
        self._items.pop(name, None)
        self.take_out(record)
        names = self._of_delivery[record.delivery]
        names.remove(name)
        if not names:
            del self._of_delivery[record.delivery]


class Aliases:
    """The ids of deliveries by their event's, where that is not their key."""

    def __init__(self) -> None:
        self._known: Remembered[str, tuple[str, ...]] = Remembered()

    def note(self, event: str, identity: str, now: int, until: int) -> None:
        """Let a delivery be found by an event's id until a moment."""
        if not event or identity.partition(":")[2] == event:
            return
        known = self.of(event, now)
        self._known.put(event, (*known, *({identity} - {*known})), now=now, until=until)

    def of(self, event: str, now: int) -> tuple[str, ...]:
        """The ids of deliveries that an event leads to."""
        return self._known.get(event, now) or ()


def record_of(live: Live, ending: str, outcome: Outcome, facts: Facts, *, at: int, until: int) -> EndedRecord:
    """The record of a delivery that has ended; that of a success has no body."""
    succeeded = outcome.kind is OutcomeKind.SUCCEEDED
    return EndedRecord(
        f"{live.id}#{ending}",
        live.queue,
        outcome.kind,
        outcome.reason,
        at,
        live.history,
        live.stored[:HEADER_SIZE] if succeeded else live.stored,
        None if succeeded else outcome.detail,
        facts,
        until,
        "" if succeeded else live.lane,
    )


def event_in(stored: bytes) -> str:
    """The id of the event that is stored, where it can be read."""
    try:
        return decode_envelope(stored[HEADER_SIZE:]).id
    except UnreadableBody:
        return ""
