"""How many threads drain a buffer: as many as can do something, and one where more would stand in its way.

Python runs one thread at a time. While handlers wait for something, more threads get more done. While
short handlers keep the processor busy, more threads only take turns, and the consumer and the settler
wait behind all of them for theirs.
"""

import threading

from .ticket import Ticket

LOOK_SECONDS = 0.005
"""How often it is looked what the threads do."""

SHORT_SECONDS = 0.001
"""Handlers that take less gain nothing from a second thread while the processor is busy."""

BUSY = 0.8
"""The part of one processor from which the process counts as busy."""


class Threads:
    """The tickets that are out for one buffer. Asked by the consumer; draining threads only leave."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tickets: set[Ticket] = set()
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._processor = 0.0
        self._taken = 0
        self.crowded = False
        """Whether one thread gets as much done as many."""

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def has_free(self) -> bool:
        """Whether another ticket may be given out."""
        return len(self._tickets) < self._most

    @property
    def in_handlers(self) -> int:
        """Threads that are in a handler now."""
        with self._lock:
            return sum(ticket.in_handler for ticket in self._tickets)

    def give(self, ticket: Ticket) -> Ticket:
        """Give out a ticket."""
        with self._lock:
            self._tickets.add(ticket)
        return ticket

    def back(self, ticket: Ticket) -> None:
        """A ticket has come back."""
        with self._lock:
            self._tickets.discard(ticket)

    def wants_more(self, waiting: int) -> bool:
        """Whether another thread could take something that those at it will not take soon."""
        if not waiting or not self.has_free:
            return False
        with self._lock:
            if self.crowded:
                return all(ticket.stuck for ticket in self._tickets)
            return sum(not ticket.in_handler for ticket in self._tickets) < waiting

    def leave(self, ticket: Ticket) -> bool:
        """Whether a draining thread shall stop, because another is at it and that is enough."""
        with self._lock:
            others = any(other is not ticket and not other.stuck for other in self._tickets)
            if others:
                self._tickets.discard(ticket)
            return others

    def look(self, now: float, processor: float, taken: int) -> None:
        """See what became of the threads: seconds now, processor seconds of the process, deliveries taken."""
        elapsed = now - self._looked_at
        if elapsed < LOOK_SECONDS:
            return
        moving = 0
        with self._lock:
            for ticket in self._tickets:
                ticket.stuck = ticket.in_handler and ticket.begun == ticket.begun_before
                ticket.begun_before = ticket.begun
                moving += not ticket.stuck
        done = taken - self._taken
        is_short = done > 0 and moving * elapsed / done < SHORT_SECONDS
        self.crowded = is_short and (processor - self._processor) / elapsed > BUSY
        self._looked_at, self._processor, self._taken = now, processor, taken
