"""How many deliveries a consumer holds ahead of its threads: by how fast they have been taken lately."""

AHEAD_SECONDS = 0.03
"""Work held ahead of the threads: longer than a fetch takes, shorter than another worker would mind."""

MOST = 1024
"""Deliveries held ahead at most, however fast they go."""

_SHORTEST_LOOK = 0.001
_GROWTH = 4


class Prefetch:
    """Handlers that are short get a deep buffer, long ones a shallow one, or none."""

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self._taken = 0
        self.ahead = 0
        """Deliveries to hold ahead of the threads that are free."""

    def stall(self) -> None:
        """Begin anew: what was held ahead had to be given back."""
        self.ahead = 0

    def look(self, now: float, taken: int) -> int:
        """What to hold ahead, when `taken` deliveries were taken in all until `now` (seconds)."""
        elapsed = now - self._looked_at
        if elapsed < _SHORTEST_LOOK:
            return self.ahead
        rate = (taken - self._taken) / elapsed
        self._looked_at, self._taken = now, taken
        # Halving what it was at most lets one slow look pass without emptying the buffer.
        aim = max(int(rate * AHEAD_SECONDS), self.ahead // 2)
        self.ahead = min(aim, _GROWTH * self.ahead + 2 * _GROWTH, MOST)
        return self.ahead
