"""What was seen of a round, as the checker reads it: plain values, so that a test can make them up."""

from typing import Literal

import msgspec

from callboard.actors.mailbox.infos import QueueInfo


class Publish(msgspec.Struct, frozen=True):
    """One event that a publisher tried to publish."""

    token: str
    event: str
    result: Literal["ok", "fail", "unknown"]
    asked: float = 0.0
    """When it was about to publish."""
    after: float = 0.0
    """Seconds it was to wait at least."""


class Run(msgspec.Struct, frozen=True):
    """One start of a handler."""

    token: str
    actor: str
    key: str
    """With the actor the identity of the delivery."""
    fence: int
    """0 where the system has none."""
    attempt: int
    alone: bool
    member: str
    """The worker process."""
    started: float
    ended: float | None
    result: Literal["open", "done", "failed", "cut"]
    """`cut` when its worker stopped and could not wait for it."""
    age: float = 0.0
    """Seconds since its publish, as the handler was told."""


class Stall(msgspec.Struct, frozen=True):
    """A time in which a worker process was not run by the machine."""

    member: str
    start: float
    end: float


class Disturbance(msgspec.Struct, frozen=True):
    """A fault, or a stall of the machine."""

    kind: str
    member: str | None
    """To whom it happened; None for all."""
    start: float
    end: float


class Record(msgspec.Struct, frozen=True):
    """A delivery that the system says it ended, or still holds."""

    token: str
    actor: str
    key: str
    state: Literal["dead", "discarded", "held"]
    reason: str = ""


class Observed(msgspec.Struct, frozen=True):
    """All that was seen of a round once the system was at rest, or had been waited for in vain."""

    publishes: tuple[Publish, ...]
    runs: tuple[Run, ...]
    disturbances: tuple[Disturbance, ...] = ()
    records: tuple[Record, ...] = ()
    queues: tuple[QueueInfo, ...] = ()
    """Empty where the system keeps no counts."""
    uneven: tuple[str, ...] = ()
    """Moments at which the counts of a queue did not add up."""
