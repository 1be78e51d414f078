"""How fast a mailbox works: what its counters grew by between two looks."""

from collections import deque
from typing import Self

import msgspec

from ..actors.mailbox.infos import MailboxInfo, QueueInfo
from ..actors.mailbox.redis import RedisMailbox

SHOWN_LOOKS = 20
"""Looks that are remembered, for what is drawn over time."""

AT_ONCE = 1
"""Milliseconds; two looks are never less apart."""


class Pace(msgspec.Struct, frozen=True):
    """One queue since the look before: rates are a second."""

    queue: str
    arriving: float
    """Deliveries accepted or replayed."""
    ending: float
    """Deliveries that succeeded, died or were discarded."""
    retrying: float
    """Attempts that are to be tried again."""
    dying: float
    oldest_ready_ms: int
    """How long the oldest that is ready has been due; 0 if there is none."""
    through_ms: int | None
    """How long a delivery takes from when it is due to its end, at this pace; null while none ends."""


class Look(msgspec.Struct, frozen=True):
    """A mailbox at one moment."""

    info: MailboxInfo
    oldest: dict[str, int]
    """Of each queue, how long its oldest ready delivery has been due, milliseconds."""

    @classmethod
    def at(cls, mailbox: RedisMailbox) -> Self:
        """Look now."""
        info = mailbox.info()
        return cls(info, {queue.queue: queue.oldest_ready_ms for queue in mailbox.gauges.read().queues})


def pace(before: Look, now: Look) -> tuple[Pace, ...]:
    """How fast each queue went between two looks."""
    seconds = max(now.info.at - before.info.at, AT_ONCE) / 1000
    known = {queue.queue: queue for queue in before.info.queues}
    return tuple(
        _pace_of(
            known.get(queue.queue, QueueInfo(queue.queue)), queue, now.oldest.get(queue.queue, 0), seconds
        )
        for queue in now.info.queues
    )


def _pace_of(before: QueueInfo, now: QueueInfo, oldest_ms: int, seconds: float) -> Pace:
    def grew(*counters: str) -> float:
        grown: int = sum(getattr(now, each) - getattr(before, each) for each in counters)
        # A counter that fell was begun anew.
        return max(0, grown) / seconds

    ending = grew("succeeded", "dead", "discarded")
    under_way = now.live - now.scheduled
    return Pace(
        now.queue,
        arriving=grew("accepted", "replayed"),
        ending=ending,
        retrying=grew("retried"),
        dying=grew("dead"),
        oldest_ready_ms=oldest_ms,
        # Little's law: how many are under way is how fast they end, times how long each takes.
        through_ms=round(under_way / ending * 1000) if ending else None,
    )


class Course:
    """The last looks at a mailbox, the newest last."""

    def __init__(self) -> None:
        self._paces: deque[dict[str, Pace]] = deque(maxlen=SHOWN_LOOKS)
        self.last: Look | None = None

    @property
    def pace(self) -> tuple[Pace, ...] | None:
        """How fast each queue went between the last two looks; None after the first."""
        return tuple(self._paces[-1].values()) if self._paces else None

    def add(self, look: Look) -> None:
        """Take in a look."""
        if self.last is not None:
            self._paces.append({each.queue: each for each in pace(self.last, look)})
        self.last = look

    def of(self, queue: str) -> list[Pace]:
        """The paces of a queue that are remembered, the newest last."""
        return [paces[queue] for paces in self._paces if queue in paces]
