"""What settlements are counted as: recorded in groups, by the one thread that knows which of them hold."""

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Protocol

import msgspec

from ..messages.codec import decode_envelope
from ..messages.delivery import SUCCEEDED, Clock, Delivery, Outcome, OutcomeKind, Reason
from ..messages.errors import UnreadableBody
from ..messages.items import ItemCounts, ItemStatus
from ..messages.stored import ACCEPTED_END, FINGERPRINT_SIZE, HEADER_SIZE
from .cells import Book, Exemplar
from .metrics import (
    AGE,
    ATTEMPTS,
    ENDED,
    ERRORS,
    FENCED,
    ITEMS,
    OTHER,
    PARTIAL,
    PLAIN,
    PROCESSING,
    PUBLISHED,
    SETTLED,
    TIMEOUTS,
    UNROUTED,
    WAIT,
)
from .names import Names

TIMEOUT = "HandlerTimeout"
"""The class of the error of an attempt that ran into its timeout."""

ENDS = {
    OutcomeKind.SUCCEEDED: "succeeded",
    OutcomeKind.DUPLICATE: "duplicate",
    OutcomeKind.DEAD: "dead",
    OutcomeKind.DISCARDED: "discarded",
}
"""The outcomes that end a delivery."""


class Measured(msgspec.Struct, frozen=True, gc=False):
    """What was measured of one attempt while it ran; a delivery carries it to its settlement."""

    actor: str
    event: str
    began: float
    """By the monotonic clock, seconds."""
    ended: float
    items: ItemCounts | None = None
    """How its items fared, if its handler worked through some."""
    trace_id: str | None = None
    """The trace that it is part of, if that is kept."""


class Posted(Protocol):
    """An event that goes out with a settlement."""

    @property
    def event(self) -> str:
        """The contract's name."""
        ...

    @property
    def targets(self) -> Sequence[object]:
        """Whom it is for."""
        ...


class Settled(Protocol):
    """A settlement as the mailbox has answered it."""

    @property
    def delivery(self) -> Delivery: ...

    @property
    def outcome(self) -> Outcome: ...

    @property
    def postings(self) -> Sequence[Posted]: ...


class Attempted(msgspec.Struct, frozen=True, gc=False):
    """What an attempt came to where no mailbox settles it."""

    delivery: Delivery
    outcome: Outcome
    postings: tuple[()] = ()


def record(book: Book, names: Names, group: Iterable[Settled], held: Iterable[bool]) -> None:
    """Count a group of settlements, each by whether it held."""
    successes: dict[tuple[str, str, str], list[Delivery]] = {}
    for settlement, holds in zip(group, held, strict=True):
        delivery = settlement.delivery
        measured: Measured | None = delivery.measured
        # Nearly all there are: they are counted together.
        if holds and measured is not None and settlement.outcome is SUCCEEDED:
            key = (delivery.queue, measured.actor, measured.event)
            if key in successes:
                successes[key].append(delivery)
            else:
                successes[key] = [delivery]
        elif holds:
            _record_one(book, names, delivery, settlement.outcome)
        else:
            book.add(FENCED, (names.of("queue", delivery.queue, book),))
        if holds and measured is not None and measured.items is not None:
            _record_items(book, measured.actor, measured.items)
        if holds and settlement.postings:
            _record_postings(book, names, settlement.postings)
    for (queue, actor, event), deliveries in successes.items():
        book.add(SETTLED, (queue, actor, event, "succeeded"), len(deliveries))
        book.add(ENDED, (queue, actor, event, "succeeded", ""), len(deliveries))
        _observe_ends(book, queue, actor, event, deliveries)


def _observe_ends(book: Book, queue: str, actor: str, event: str, deliveries: list[Delivery]) -> None:
    """What is measured of attempts that ended their deliveries."""
    took: list[float] = []
    waits: list[float] = []
    ages: list[float] = []
    attempts: list[float] = []
    clock: Clock | None = None
    offset = 0.0
    traced: list[tuple[str, float, float, float]] = []
    for delivery in deliveries:
        measured: Measured = delivery.measured
        began, ended, stored = measured.began, measured.ended, delivery.stored
        if delivery.clock is not clock:
            clock = delivery.clock
            offset = _offset(clock)
        took.append(ended - began)
        ages.append(offset + ended - int(stored[FINGERPRINT_SIZE:ACCEPTED_END]) / 1000)
        if measured.trace_id is not None:
            traced.append((measured.trace_id, took[-1], ages[-1], offset + ended))
        if delivery.history.attempts:
            attempts.append(delivery.history.attempts + 1)
        else:
            waits.append(offset + began - int(stored[ACCEPTED_END:HEADER_SIZE]) / 1000)
    book.observe(ATTEMPTS, (actor,), attempts)
    book.observe_same(ATTEMPTS, (actor,), 1, len(waits))
    book.observe(PROCESSING, (queue, actor), took)
    book.observe(WAIT, (queue,), waits)
    book.observe(AGE, (event,), ages)
    for trace_id, seconds, age, at in traced:
        book.show(PROCESSING, (queue, actor), Exemplar(trace_id, seconds, at))
        book.show(AGE, (event,), Exemplar(trace_id, age, at))


def _offset(clock: Clock) -> float:
    """What is to be added to this machine's monotonic clock to tell the server's time, seconds."""
    return clock.now() / 1000 - monotonic()


def _record_one(book: Book, names: Names, delivery: Delivery, outcome: Outcome) -> None:
    measured: Measured | None = delivery.measured
    queue = names.of("queue", delivery.queue, book)
    actor = names.of("actor", delivery.actor, book)
    event = names.of("event", _event_of(names, delivery), book)
    kind = outcome.kind
    book.add(SETTLED, (queue, actor, event, kind.value))
    if outcome.error is not None and measured is not None:
        book.add(ERRORS, (actor, names.of_error(outcome.error.type, book)))
        if outcome.error.type == TIMEOUT:
            book.add(TIMEOUTS, (queue, actor))
    if kind in ENDS:
        reason = "" if outcome.reason is None else outcome.reason.value
        book.add(ENDED, (queue, actor, event, ENDS[kind], reason))
    if measured is None:
        return
    if kind in ENDS:
        _observe_ends(book, queue, actor, event, [delivery])
        return
    seconds = measured.ended - measured.began
    book.observe(PROCESSING, (queue, actor), [seconds])
    if measured.trace_id is not None:
        at = _offset(delivery.clock) + measured.ended
        book.show(PROCESSING, (queue, actor), Exemplar(measured.trace_id, seconds, at))
    if not delivery.history.attempts and kind is not OutcomeKind.RELEASED:
        wait = _offset(delivery.clock) + measured.began - delivery.due_at / 1000
        book.observe(WAIT, (queue,), [wait])


def record_poisoned(book: Book, names: Names, delivery: Delivery) -> None:
    """Count a delivery that ended when it was taken over: no worker settles it."""
    queue = names.of("queue", delivery.queue, book)
    actor = names.of("actor", delivery.actor, book)
    event = names.of("event", _event_of(names, delivery), book)
    book.add(ENDED, (queue, actor, event, OutcomeKind.DEAD.value, Reason.POISON.value))
    book.observe(ATTEMPTS, (actor,), [delivery.history.attempts])
    book.observe(AGE, (event,), [(delivery.clock.now() - delivery.accepted_at) / 1000])


def _event_of(names: Names, delivery: Delivery) -> str:
    """The contract's name, also of a delivery that was never started; `other` where it cannot be read."""
    measured: Measured | None = delivery.measured
    if measured is not None:
        return measured.event
    if delivery.actor in names.plain:
        return PLAIN
    try:
        return decode_envelope(delivery.body).type
    except UnreadableBody:
        return OTHER


def _record_items(book: Book, actor: str, items: ItemCounts) -> None:
    for status in ItemStatus:
        if count := getattr(items, status.value):
            book.add(ITEMS, (actor, status.value), count)
    if items.failed and (items.succeeded or items.skipped):
        book.add(PARTIAL, (actor,))


def _record_postings(book: Book, names: Names, postings: Iterable[Posted]) -> None:
    for posting in postings:
        event = names.of("event", posting.event, book)
        book.add(PUBLISHED, (event, "actor"))
        if not posting.targets:
            book.add(UNROUTED, (event,))
