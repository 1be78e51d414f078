"""The memory mailbox's records: the model of the others."""

import threading
from collections.abc import Callable

from .memory_deliveries import Deliveries
from .memory_routes import Routes
from .records import FoundDelivery


class MemoryRecords:
    """Looks up what `MemoryMailbox` keeps; implements `Records`."""

    def __init__(
        self, lock: threading.Condition, now: Callable[[], int], deliveries: Deliveries, routes: Routes
    ) -> None:
        self._lock = lock
        self._now = now
        self._deliveries = deliveries
        self._routes = routes

    def find(self, identity: str) -> tuple[FoundDelivery, ...]:
        """See `Records.find`."""
        with self._lock:
            now = self._now()
            routed = [f"{each.actor}:{identity}" for each in self._routes.book(now).subscriptions]
            ids = dict.fromkeys([*routed, *self._deliveries.named(identity, now), identity])
            found = [self._deliveries.look_up(each, now) for each in ids]
            return tuple(each for each in found if each is not None)
