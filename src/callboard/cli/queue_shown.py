"""What the commands of `callboard queue` print as JSON."""

import msgspec

from ..actors.mailbox.infos import Pause, QueueInfo


class Paused(msgspec.Struct, frozen=True):
    """One queue that is paused now."""

    queue: str
    pause: Pause


class Resumed(msgspec.Struct, frozen=True):
    """One queue that is not paused any more."""

    queue: str
    pause: Pause | None
    """The pause that held; null if there was none."""


class Purged(msgspec.Struct, frozen=True):
    """What a purge has discarded, or would."""

    queue: str
    deliveries: int
    dry_run: bool


class Drained(msgspec.Struct, frozen=True):
    """What a drain came to."""

    drained: bool
    empty: bool
    """Whether it was waited for all that is not scheduled, without a pause."""
    left: int
    """Deliveries that were waited for and are still there."""
    seconds: float
    resumed: bool
    """Whether queues were resumed because they were not drained in time."""
    queues: tuple[QueueInfo, ...]


PausedQueues = list[Paused]
ResumedQueues = list[Resumed]
