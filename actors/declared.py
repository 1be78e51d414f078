"""What a worker must know of the actors of a broker: whom the stack guards, how each queue is worked off."""

from typing import Any

import dramatiq

from ..middleware.batched import Batched
from ..middleware.guarded import Guarded
from .actor import EventActor
from .gathering import Gatherer


class Declared:
    """The actors of a broker, by what is asked of them for each delivery or fetch."""

    def __init__(self) -> None:
        self.gatherers: dict[str, Gatherer] = {}
        """Whom batches are gathered for, by actor."""
        self.has_priorities = False
        """Whether plain actors differ in priority."""
        self._guarded: dict[str, Guarded] = {}
        self._largest_batches: dict[str, int] = {}
        self._async_queues: set[str] = set()
        self._sync_queues: set[str] = set()
        self._event_queues: set[str] = set()
        self._plain_priorities: dict[str, int] = {}

    def add(self, actor: dramatiq.Actor[..., Any]) -> None:
        """Take in an actor when the stack is around it."""
        fn: object = actor.fn
        if not isinstance(fn, Guarded):
            self._plain_priorities[actor.actor_name] = actor.priority
            self.has_priorities = len(set(self._plain_priorities.values())) > 1
            self._sync_queues.add(actor.queue_name)
            return
        self._guarded[actor.actor_name] = fn
        self._event_queues.add(actor.queue_name)
        (self._async_queues if fn.is_async else self._sync_queues).add(actor.queue_name)
        if isinstance(fn, Batched) and isinstance(actor, EventActor) and actor.batch is not None:
            self.gatherers[actor.actor_name] = Gatherer(fn, actor.batch, actor.priority)
            size = max(actor.batch.size, self.largest_batch(actor.queue_name))
            self._largest_batches[actor.queue_name] = size

    def guarded(self, actor_name: str) -> Guarded | None:
        """The guarded handler of an event actor; None for a plain one, or none of that name."""
        return self._guarded.get(actor_name)

    def has_async(self, queue_name: str) -> bool:
        """Whether an actor of the queue runs on the event loop."""
        return queue_name in self._async_queues

    def has_sync(self, queue_name: str) -> bool:
        """Whether an actor of the queue runs on a thread."""
        return queue_name in self._sync_queues

    def largest_batch(self, queue_name: str) -> int:
        """The most events that an actor of the queue is given at once; 0 if there are no batch handlers."""
        return self._largest_batches.get(queue_name, 0)

    def is_plain(self, queue_name: str) -> bool:
        """Whether all actors of the queue are plain ones."""
        return queue_name not in self._event_queues
