"""How much more a consumer fetches: what its threads and the event loop will take soon, and no more."""

from .prefetch import Prefetch

MOST_AT_ONCE = 512
"""Deliveries in one fetch: enough to pay for it, few enough for the server to serve others in between."""

STUCK_SECONDS = 0.25
"""How long a buffer may stand while every thread is busy, before it is given back for others."""


class Room:
    """The room of one consumer. Times are seconds of the monotonic clock; `taken` counts from its start."""

    def __init__(self, now: float) -> None:
        self._prefetch = Prefetch(now)
        self.low = 0
        """Deliveries waiting from which more are to be fetched."""
        self._taken_before = 0
        self._moving_at = now
        self._stood_at = -1

    def for_threads(self, now: float, taken: int, *, free: int, waiting: int) -> int:
        """Deliveries that threads have room for, `free` of which have nothing to do."""
        ahead = self._prefetch.look(now, taken)
        room = min(free + ahead - waiting, MOST_AT_ONCE)
        # A deep buffer is filled in parts, the next one while there is still enough to do.
        part = min(ahead // 4, MOST_AT_ONCE)
        self.low = ahead - part
        return 0 if room < part else room

    def for_both(self, for_threads: int, on_loop: int, *, spare: int, taken: int) -> int:
        """Where the event loop has room as well: what comes may turn out to be for threads, so no more than
        `spare` beyond what these have room for."""
        # What stood in the buffer and was given back would come again, until a handler has ended.
        may_look = self._stood_at != taken
        return max(for_threads, min(on_loop, spare) if may_look else 0)

    def stands(self, now: float, taken: int, waiting: int) -> bool:
        """Whether what waits has stood for too long, and is to be given back."""
        if taken != self._taken_before or not waiting:
            self._taken_before, self._moving_at = taken, now
            return False
        if now - self._moving_at <= STUCK_SECONDS:
            return False
        self._prefetch.stall()
        self._stood_at = taken
        return True
