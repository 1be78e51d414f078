"""Gathers deliveries for batch handlers, until a batch is full or its first one has waited long enough.

No thread of a handler waits meanwhile: the consumer looks again no later than the first batch is due.
"""

import threading
from itertools import chain
from math import inf
from typing import NamedTuple

from ..messages.delivery import Delivery
from ..middleware.batched import Batched
from ..middleware.signals import StuckTogether
from .batch import Batch


class Gathered(NamedTuple):
    """Deliveries for one call of a batch handler, and what will run them."""

    deliveries: tuple[Delivery, ...]
    guarded: Batched
    priority: int


class Gatherer:
    """Whom deliveries are gathered for."""

    def __init__(self, guarded: Batched, batch: Batch, priority: int = 0) -> None:
        self.guarded = guarded
        self.batch = batch
        self.priority = priority


def runs_alone(delivery: Delivery) -> bool:
    """Whether a delivery makes a batch of its own: its batch was lost, or stuck, and it may be to blame."""
    error = delivery.history.last_error
    return delivery.alone or (error is not None and error.type == StuckTogether.__name__)


class Growing:
    """The batch that one actor is given next."""

    def __init__(self, gatherer: Gatherer, now: float) -> None:
        self.gatherer = gatherer
        self.due_at = now + gatherer.batch.wait_ms
        self.deliveries: list[Delivery] = []
        self.size_bytes = 0

    def has_room(self, delivery: Delivery) -> bool:
        """Whether one more fits in; the first always does."""
        return not self.deliveries or self.size_bytes + len(delivery.stored) <= self.gatherer.batch.max_bytes

    def add(self, delivery: Delivery) -> None:
        """Put one in."""
        self.deliveries.append(delivery)
        self.size_bytes += len(delivery.stored)

    @property
    def is_full(self) -> bool:
        """Whether another is not waited for."""
        batch = self.gatherer.batch
        return len(self.deliveries) >= batch.size or self.size_bytes >= batch.max_bytes

    def done(self) -> Gathered:
        """What was gathered."""
        return Gathered(tuple(self.deliveries), self.gatherer.guarded, self.gatherer.priority)


class Gathering:
    """The batches that grow in one consumer, one for each actor. Safe to clear from another thread.

    Times are milliseconds of a clock of the caller's.
    """

    def __init__(self) -> None:
        self._growing: dict[str, Growing] = {}
        self._lock = threading.Lock()

    def add(self, delivery: Delivery, gatherer: Gatherer, now: float) -> list[Gathered]:
        """Take a delivery in; the batches that are full by it."""
        if runs_alone(delivery):
            return [Gathered((delivery,), gatherer.guarded, gatherer.priority)]
        actor = gatherer.guarded.policy.actor
        full: list[Gathered] = []
        with self._lock:
            growing = self._growing.get(actor)
            if growing is not None and not growing.has_room(delivery):
                full.append(growing.done())
                growing = None
            if growing is None:
                growing = self._growing[actor] = Growing(gatherer, now)
            growing.add(delivery)
            if growing.is_full:
                full.append(self._growing.pop(actor).done())
        return full

    def take_due(self, now: float, *, on_threads: bool = True, on_loop: bool = True) -> list[Gathered]:
        """The batches that have waited long enough, of those that run where there is room now.

        The others go on growing, for they could not start anyway.
        """
        if not self._growing:
            return []
        with self._lock:
            due = [
                actor
                for actor, growing in self._growing.items()
                if growing.due_at <= now and (on_loop if growing.gatherer.guarded.is_async else on_threads)
            ]
            return [self._growing.pop(actor).done() for actor in due]

    def due_in(self, now: float) -> float:
        """Milliseconds until the next batch will have waited long enough; endless if all of them have."""
        with self._lock:
            return (
                min((each.due_at for each in self._growing.values() if each.due_at > now), default=inf) - now
            )

    def is_overdue(self, now: float) -> bool:
        """Whether a batch has waited long enough, and goes on for want of room."""
        with self._lock:
            return any(growing.due_at <= now for growing in self._growing.values())

    @property
    def deliveries(self) -> list[Delivery]:
        """All that has been gathered, in order."""
        with self._lock:
            return list(chain.from_iterable(growing.deliveries for growing in self._growing.values()))

    def clear(self) -> list[Delivery]:
        """Take it all back."""
        with self._lock:
            growing, self._growing = self._growing, {}
        return list(chain.from_iterable(each.deliveries for each in growing.values()))

    def __len__(self) -> int:
        return sum(len(growing.deliveries) for growing in tuple(self._growing.values()))
