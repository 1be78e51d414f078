"""The memory mailbox's correlations: the model of the others."""

import threading
from collections import defaultdict
from collections.abc import Callable

from ..correlations import TOLD_OF_CAUSE, CameOf, Correlated, RelatedEvent
from .remembered import Remembered


class Related:
    """Which events belong together. Knows no locks; is told the time."""

    def __init__(self) -> None:
        self._correlation: Remembered[str, str] = Remembered()
        self._events: dict[str, Remembered[str, RelatedEvent]] = defaultdict(Remembered)

    def note(self, came_of: CameOf, name: str, now: int, until: int) -> None:
        """Remember what an event of a contract's name came of, until a moment at least."""
        self._correlation.put(came_of.event, came_of.correlation, now=now, until=until)
        self._put(came_of, RelatedEvent(came_of.event, name, came_of.cause[-TOLD_OF_CAUSE:]), now, until)
        if came_of.cause_name and came_of.cause == came_of.correlation:
            self._put(came_of, RelatedEvent(came_of.cause, came_of.cause_name), now, until)

    def of(self, identity: str, most: int, now: int) -> Correlated:
        """See `Correlations.of`."""
        correlation = self._correlation.get(identity, now) or identity
        known = self._events.get(correlation)
        found = sorted(known.values(now), key=lambda each: each.id) if known else []
        return Correlated(correlation, tuple(found[:most]), len(found) <= most)

    def _put(self, came_of: CameOf, event: RelatedEvent, now: int, until: int) -> None:
        self._events[came_of.correlation].put(event.id, event, now=now, until=until)


class MemoryCorrelations:
    """Looks up what `MemoryMailbox` keeps; implements `Correlations`."""

    def __init__(self, lock: threading.Condition, now: Callable[[], int], related: Related) -> None:
        self._lock = lock
        self._now = now
        self._related = related

    def of(self, identity: str, most: int) -> Correlated:
        """See `Correlations.of`."""
        with self._lock:
            return self._related.of(identity, most, self._now())
