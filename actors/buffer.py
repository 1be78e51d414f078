"""Deliveries fetched and not yet started, the most urgent first, taken by many threads without a lock."""

from collections import deque
from collections.abc import Sequence

from ..messages.delivery import Delivery


class Buffer:
    """One deque for each priority; dramatiq's lower numbers come first.

    Appending and popping a deque is atomic, and a priority once seen stays, so that threads may
    read the list of deques while the consumer adds one.
    """

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Delivery]] = {}
        self._order: tuple[deque[Delivery], ...] = ()

    def add(self, delivery: Delivery, priority: int) -> None:
        """Put a delivery behind those of its priority."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = deque()
            self._order = tuple(self._lanes[key] for key in sorted(self._lanes))
        lane.append(delivery)

    def take(self) -> Delivery | None:
        """The next delivery, or None if there is none."""
        for lane in self._order:
            try:
                return lane.popleft()
            except IndexError:
                continue
        return None

    def clear(self) -> Sequence[Delivery]:
        """Take all that is left, in order."""
        taken: list[Delivery] = []
        while (delivery := self.take()) is not None:
            taken.append(delivery)
        return taken

    def __len__(self) -> int:
        return sum(map(len, self._order))
