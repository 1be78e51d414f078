"""Takes in what was fetched: each delivery goes where its actor runs, at once or when its batch is ready."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import dramatiq

from ..messages.delivery import Delivery
from .buffer import Buffer, Waiting
from .gathering import Gathered, Gathering
from .plain import PlainMessage, message_of, unreadable

if TYPE_CHECKING:
    from .worker import WorkerProcess


class Intake:
    """What one consumer has taken in and not handed on yet."""

    def __init__(self, worker: "WorkerProcess") -> None:
        self._worker = worker
        self.buffer = Buffer()
        """For worker threads."""
        self.gathering = Gathering()
        """For batches that are not full yet."""
        self.messages: deque[PlainMessage] = deque()
        """For dramatiq to hand to its threads."""
        self.messages_out = 0
        """Those and the ones that dramatiq has and has not settled."""

    def accept(self, deliveries: Sequence[Delivery]) -> int:
        """Take deliveries in; how many went to the event loop."""
        if not deliveries:
            return 0
        worker = self._worker
        worker.held.update(deliveries)
        if deliveries[0].suspect:
            worker.suspects.update(deliveries)
        declared = worker.broker.declared
        gatherers = declared.gatherers
        for_loop: list[Delivery | Gathered] = []
        for delivery in deliveries:
            name = delivery.actor
            guarded = declared.guarded(name)
            if gatherers and name in gatherers:
                for_loop += self._place(self.gathering.add(delivery, gatherers[name], _now()))
            elif guarded is not None and guarded.is_async:
                for_loop.append(delivery)
            elif guarded is None and name in worker.broker.actors:
                self._accept_plain(delivery)
            else:
                priority = 0 if guarded is None else worker.broker.actors[name].priority
                self.buffer.add(Waiting(delivery, guarded), priority)
        return self._start(for_loop)

    def release_due(self, *, on_threads: bool, on_loop: bool) -> tuple[bool, int]:
        """Hand on the batches that have waited long enough, if there is room where they run.

        Whether there were any, and how many deliveries went to the event loop.
        """
        due = self.gathering.take_due(_now(), on_threads=on_threads, on_loop=on_loop)
        return bool(due), self._start(self._place(due))

    @property
    def due_in(self) -> float:
        """Seconds until a batch will have waited long enough; endless if all of them have."""
        return self.gathering.due_in(_now()) / 1000

    @property
    def is_overdue(self) -> bool:
        """Whether a batch has waited long enough, and grows on for want of room where it runs."""
        return self.gathering.is_overdue(_now())

    def clear(self) -> Sequence[Delivery]:
        """Take back, in order, all that can be."""
        return [*self.buffer.clear(), *self.gathering.clear()]

    def _place(self, batches: Iterable[Gathered]) -> list[Delivery | Gathered]:
        """Put batches for threads into the buffer; those for the event loop."""
        for_loop: list[Delivery | Gathered] = []
        for batch in batches:
            if batch.guarded.is_async:
                for_loop.append(batch)
            else:
                self.buffer.add(batch, batch.priority)
        return for_loop

    def _start(self, turns: Sequence[Delivery | Gathered]) -> int:
        if not turns:
            return 0
        self._worker.loop.put(turns)
        return sum(len(turn.deliveries) if isinstance(turn, Gathered) else 1 for turn in turns)

    def _accept_plain(self, delivery: Delivery) -> None:
        try:
            message = message_of(delivery)
        except dramatiq.DecodeError as error:
            self._worker.settler.put(unreadable(delivery, error))
            return
        self.messages.append(message)
        self.messages_out += 1


def _now() -> float:
    return time.monotonic() * 1000
