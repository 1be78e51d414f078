"""What the memory mailbox remembers for a time only: values that end by themselves, and completions."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from ..mailbox import MIN_WINDOW_MS

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """A dictionary whose entries end by themselves; whatever has ended makes room at the next `put`."""

    def __init__(self) -> None:
        self._entries: dict[K, tuple[int, V]] = {}
        self._ends: list[tuple[int, int, K]] = []
        self._puts = 0

    def put(self, key: K, value: V, *, now: int, until: int) -> None:
        """Remember `value` until the moment `until`, epoch milliseconds, in place of what was there."""
        self._forget_ended(now)
        # Taken out first, so that values() lists in the order of the latest put.
        self._entries.pop(key, None)
        self._entries[key] = (until, value)
        self._puts += 1
        heapq.heappush(self._ends, (until, self._puts, key))

    def get(self, key: K, now: int) -> V | None:
        """The value, or None if it was never put or has ended."""
        until, value = self._entries.get(key, (now, None))
        return value if now < until else None

    def forget(self, key: K) -> None:
        """Forget it before its time."""
        self._entries.pop(key, None)

    def values(self, now: int) -> list[V]:
        """All that is remembered, the latest put last."""
        return [value for until, value in self._entries.values() if now < until]

    def _forget_ended(self, now: int) -> None:
        while self._ends and self._ends[0][0] <= now:
            key = heapq.heappop(self._ends)[2]
            if self._entries.get(key, (now + 1,))[0] <= now:
                del self._entries[key]


class Completions:
    """The fingerprints of completed deliveries, by identity."""

    def __init__(self) -> None:
        self._completed: Remembered[str, tuple[int, bytes]] = Remembered()

    def put(self, identity: str, fingerprint: bytes, window_ms: int, now: int) -> None:
        """Remember a completion for its window, or for `MIN_WINDOW_MS` if that is longer."""
        until = now + max(window_ms, MIN_WINDOW_MS)
        self._completed.put(identity, (now, fingerprint), now=now, until=until)

    def latest(self, identity: str, now: int) -> int | None:
        """When it was completed last, if that is remembered."""
        at, _ = self._completed.get(identity, now) or (None, None)
        return at

    def within(self, identity: str, window_ms: int, now: int) -> bytes | None:
        """The fingerprint of what was completed within the window, as the publisher understands it."""
        at, fingerprint = self._completed.get(identity, now) or (now, None)
        return fingerprint if now < at + max(window_ms, MIN_WINDOW_MS) else None
