"""The memory mailbox's gauges: the model of the others."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import islice

from ....messages.delivery import NO_HISTORY, OutcomeKind
from ....observability.state import MailboxState, QueueState
from ..infos import QueueInfo
from .deliveries import Deliveries
from .live import Live
from .remembered import Remembered

MOST_LOOKED_AT = 32
"""How far into a queue a look goes for a delivery that was never tried."""


class MemoryGauges:
    """Looks at the queues of a `MemoryMailbox`; implements `Gauges`.

    `entered` gives the time, under the mailbox's lock.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        entered: Callable[[], AbstractContextManager[int]],
        consumers: Remembered[tuple[str, str], str],
    ) -> None:
        self._deliveries = deliveries
        self._entered = entered
        self._consumers = consumers

    def read(self) -> MailboxState:
        """See `Gauges.read`."""
        with self._entered() as now:
            queues = [self._state(info, now) for info in self._deliveries.infos(now)]
        return MailboxState("memory", tuple(queues))

    def _state(self, info: QueueInfo, now: int) -> QueueState:
        queue = self._deliveries.queue(info.queue)
        dead = self._deliveries.records.listed(queue.name, OutcomeKind.DEAD, now)
        return QueueState(
            queue.name,
            ready=info.ready + info.suspects,
            waiting=info.waiting,
            leased=info.leased,
            scheduled=info.scheduled,
            dead=len(dead),
            oldest_ready_ms=max(_due_for(each, now) for each in (queue.ready, queue.suspects, queue.lone)),
            oldest_dead_ms=now - dead[0].at if dead else 0,
            workers=self._consumers.values(now).count(queue.name),
            paused=int(queue.pause is not None),
            discarded=info.discarded,
            replayed=info.replayed,
        )


def _due_for(lives: Iterable[Live], now: int) -> int:
    """How long the first that was never tried has been due."""
    first = next((live for live in islice(lives, MOST_LOOKED_AT) if live.history == NO_HISTORY), None)
    return 0 if first is None else max(0, now - first.due_at)
