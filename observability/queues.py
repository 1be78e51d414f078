"""Which queues of a mailbox a scrape tells apart: whoever may write to its server names them."""

from collections.abc import Sequence

from .metrics import OTHER
from .state import QueueState

MOST_QUEUES = 500
"""Queues that are told apart; the rest is one, named `other`."""

_GREATEST = {"oldest_ready_ms", "oldest_dead_ms", "workers", "paused"}
"""What of several queues is not added up."""


class Queues:
    """Those that were told apart last go on to be, so that names which come and go make no series."""

    def __init__(self, most: int = MOST_QUEUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def told_apart(self, queues: Sequence[QueueState]) -> tuple[QueueState, ...]:
        """The same queues; of too many, those with workers come first, then those that were known."""
        if len(queues) > self._most:
            ranked = sorted(
                queues, key=lambda each: (not each.workers, each.queue not in self._known, each.queue)
            )
            queues = (*ranked[: self._most], _together(ranked[self._most :]))
        self._known = {each.queue for each in queues}
        return tuple(queues)


def _together(queues: Sequence[QueueState]) -> QueueState:
    numbers = [name for name in QueueState.__struct_fields__ if name != "queue"]
    together = {
        name: (max if name in _GREATEST else sum)(getattr(each, name) for each in queues) for name in numbers
    }
    return QueueState(OTHER, **together)
