"""The clocks of the memory mailbox: this machine's, and one that moves only when told to."""

import threading
import time


class SystemClock:
    """This machine's clock."""

    def now(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000


class VirtualClock:
    """A clock that stands still until it is advanced, so that tests may live through a year at once."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now = start_ms
        self._lock = threading.Lock()

    def now(self) -> int:
        """Epoch milliseconds, as far as the clock was advanced."""
        return self._now

    def advance(self, ms: int) -> int:
        """Let `ms` milliseconds pass; returns the new time. Raises `ValueError` for a step back."""
        if ms < 0:
            raise ValueError(f"a mailbox's time never goes back: advance by 0 or more, not by {ms} ms")
        with self._lock:
            self._now += ms
            return self._now
