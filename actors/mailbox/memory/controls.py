"""The memory mailbox's controls: the model of the others."""

import threading
from collections.abc import Callable

from ..infos import Pause
from .deliveries import Deliveries


class MemoryControls:
    """Pauses and resumes queues of a `MemoryMailbox`; implements `Controls`."""

    def __init__(self, lock: threading.Condition, now: Callable[[], int], deliveries: Deliveries) -> None:
        self._lock = lock
        self._now = now
        self._deliveries = deliveries

    def pause(self, queue: str, *, by: str = "", reason: str = "") -> Pause:
        """See `Controls.pause`."""
        with self._lock:
            known = self._deliveries.queue(queue)
            known.pause = known.pause or Pause(self._now(), by, reason)
            return known.pause

    def resume(self, queue: str) -> Pause | None:
        """See `Controls.resume`."""
        with self._lock:
            self._now()
            known = self._deliveries.queue(queue)
            held = known.pause
            if held is not None:
                known.resume()
                self._lock.notify_all()
            return held
