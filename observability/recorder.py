"""What one process records of itself: handed to whoever sees something, and to registries that show it."""

from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import structlog

from ..messages.delivery import Delivery, Reason
from .cells import Cells
from .metrics import (
    CLAIMS,
    DUPLICATES,
    ENDED,
    FENCED,
    OVERFLOW,
    PARTIAL,
    PLAIN,
    PUBLISHED,
    STORE_ERRORS,
    STORE_SECONDS,
    TAKEOVERS,
    TIMEOUTS,
    UNROUTED,
)
from .names import Names
from .settled import Settled, record, record_poisoned
from .tracebacks import report

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

T = TypeVar("T")

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.metrics")

_LABELS = ("queue", "actor", "event", "error")

NAMESPACE = "callboard"
"""What the names of all metrics begin with, unless another is given."""


class Recorder:
    """Counts what happens in this process. Safe to use from many threads.

    A registry of yours shows it once it is registered there: `app.metrics.register(registry)`.
    """

    def __init__(self) -> None:
        self.cells = Cells()
        self.names = Names()

    def register(self, registry: "CollectorRegistry", *, namespace: str = NAMESPACE) -> None:
        """Let a registry show all that this process has recorded.

        In a worker process of a pool there is no need to: the pool's exporter shows what its workers record.
        """
        from .families import BookCollector  # noqa: PLC0415 - most processes need no registry

        registry.register(BookCollector(self.cells.total, namespace))

    def declare(self, queue: str, actor: str, events: Iterable[str] = ()) -> None:
        """Let an actor, its queue and its contracts be told from others; a plain one has no contracts.

        What is rare is there from then on, with the value 0: a series that begins with its first event has no
        rate, and the first one is the one that an alert should see.
        """
        contracts = tuple(events)
        with self.cells.lock:
            self.names.declare(
                queues=(queue,), actors=(actor,), events=contracts, plain=() if contracts else (actor,)
            )
            book = self.cells.fresh
            for label in _LABELS:
                book.add(OVERFLOW, (label,), 0)
            book.add(FENCED, (queue,), 0)
            book.add(TAKEOVERS, (queue,), 0)
            book.add(TIMEOUTS, (queue, actor), 0)
            book.add(PARTIAL, (actor,), 0)
            for event in contracts or (PLAIN,):
                book.add(ENDED, (queue, actor, event, "succeeded", ""), 0)
                book.add(ENDED, (queue, actor, event, "dead", Reason.MAX_ATTEMPTS.value), 0)

    def settled(self, group: Iterable[Settled], held: Iterable[bool]) -> None:
        """Count settlements that the mailbox has answered, each by whether it held."""
        try:
            with self.cells.lock:
                record(self.cells.fresh, self.names, group, held)
        except Exception as error:  # noqa: BLE001 - as is told here
            # What cannot be counted has been settled all the same.
            report(logger, "settlements could not be counted", error)

    def given_up(self, queue: str, actor: str, reason: Reason) -> None:
        """Count a plain message that dramatiq has dead-lettered, whose attempts had been counted."""
        with self.cells.lock:
            self.cells.fresh.add(ENDED, (queue, actor, PLAIN, "dead", reason.value))

    def published(self, events: Iterable[tuple[str, int, int]], source: str = "app") -> None:
        """Count events that the mailbox has taken: of each its name, its deliveries, and those known."""
        with self.cells.lock:
            book = self.cells.fresh
            for event, deliveries, duplicates in events:
                name = self.names.of("event", event, book)
                book.add(PUBLISHED, (name, source))
                if not deliveries:
                    book.add(UNROUTED, (name,))
                if duplicates:
                    book.add(DUPLICATES, (name,), duplicates)

    def taken_over(self, queue: str, count: int, poisoned: Iterable[Delivery] = ()) -> None:
        """Count deliveries that were taken over from lost workers, and those that are dead by it."""
        with self.cells.lock:
            book = self.cells.fresh
            book.add(TAKEOVERS, (self.names.of("queue", queue, book),), count)
            for delivery in poisoned:
                record_poisoned(book, self.names, delivery)

    def claimed(self, store: str, verdict: str) -> None:
        """Count a dedup store's answer to a claim."""
        with self.cells.lock:
            self.cells.fresh.add(CLAIMS, (store, verdict))

    def timed(self, store: str, operation: str, call: Callable[[], T]) -> T:
        """Call a store, and record how long that took, and whether it failed."""
        began = monotonic()
        try:
            answer = call()
        except Exception as error:
            self._called(store, operation, monotonic() - began, type(error).__name__)
            raise
        self._called(store, operation, monotonic() - began)
        return answer

    def _called(self, store: str, operation: str, seconds: float, error: str = "") -> None:
        with self.cells.lock:
            book = self.cells.fresh
            book.observe(STORE_SECONDS, (store, operation), [seconds])
            if error:
                book.add(STORE_ERRORS, (store, operation, self.names.of_error(error, book)))
