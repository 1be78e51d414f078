"""Deliveries fetched and not yet started, the most urgent first, taken by many threads without a lock."""

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from ..messages.delivery import Delivery
from ..middleware.guarded import Guarded
from .gathering import Gathered


class Waiting(NamedTuple):
    """A delivery and what will run it; None when no actor here has its name."""

    delivery: Delivery
    guarded: Guarded | None


class Buffer:
    """One deque for each priority; dramatiq's lower numbers come first.

    Appending and popping a deque is atomic, and a priority once seen stays, so that threads may
    read the list of deques while the consumer adds one.
    """

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Waiting | Gathered]] = {}
        self._order: tuple[deque[Waiting | Gathered], ...] = ()

    def add(self, waiting: Waiting | Gathered, priority: int) -> None:
        """Put a delivery, or a batch of them, behind those of its priority."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = deque()
            self._order = tuple(self._lanes[key] for key in sorted(self._lanes))
        lane.append(waiting)

    def take(self) -> Waiting | Gathered | None:
        """The next delivery or batch, or None if there is none."""
        for lane in self._order:
            try:
                return lane.popleft()
            except IndexError:
                continue
        return None

    def clear(self) -> Sequence[Delivery]:
        """Take all that is left, in order."""
        taken: list[Delivery] = []
        while (waiting := self.take()) is not None:
            taken += waiting.deliveries if isinstance(waiting, Gathered) else (waiting.delivery,)
        return taken

    @property
    def deliveries(self) -> int:
        """How many deliveries there are, those of batches counted each."""
        waiting = chain.from_iterable(map(tuple, self._order))
        return sum(len(each.deliveries) if isinstance(each, Gathered) else 1 for each in waiting)

    def __len__(self) -> int:
        """How many threads could take something."""
        return sum(map(len, self._order))
