"""What a mailbox tells of itself: its queues, its lanes and who holds them, its workers."""

import msgspec

MOST_LISTED = 10
"""Lanes of a queue, and holders of a lane, that `info` lists."""

WORKER_LASTS_MS = 60_000
"""A worker that was not heard of for this long is no longer listed."""


class Holder(msgspec.Struct, frozen=True):
    """A delivery that others wait for."""

    id: str
    owner: str = ""
    """The worker that has it leased; empty while nobody has."""


class LaneInfo(msgspec.Struct, frozen=True):
    """Deliveries of which only so many may be leased at once, and who has them."""

    lane: str
    """Of an ordered lane its name, else the name of an actor with a limit."""
    ordered: bool
    limit: int | None
    """1 for an ordered lane; None for an actor whose limit was taken away while some waited."""
    waiting: int
    held: int
    holders: tuple[Holder, ...]
    """The first of what is held, at most `MOST_LISTED`, by id."""


class Pause(msgspec.Struct, frozen=True):
    """That a queue hands out nothing: since when, by whom and why."""

    at: int
    """Epoch milliseconds."""
    by: str = ""
    reason: str = ""


class DeadLettersInfo(msgspec.Struct, frozen=True):
    """The dead letters of a queue that are kept now; times are epoch milliseconds, 0 if there is none."""

    count: int = 0
    oldest_at: int = 0
    """When the one that has been dead longest died."""
    next_forgotten_at: int = 0
    """When the next one will be forgotten because of its age."""
    next_at: int = 0
    """When that one died."""


NO_DEAD_LETTERS = DeadLettersInfo()


class QueueInfo(msgspec.Struct, frozen=True):
    """The state of one queue: what it holds now, and what it ever did."""

    queue: str
    ready: int = 0
    leased: int = 0
    scheduled: int = 0
    suspects: int = 0
    waiting: int = 0
    """In lanes, until another delivery has ended or a slot of the actor is free."""
    accepted: int = 0
    succeeded: int = 0
    duplicate: int = 0
    """Deliveries that ended with the outcome `duplicate`: another had done the work before."""
    dead: int = 0
    """Those that were replayed too: they end once more."""
    discarded: int = 0
    duplicates: int = 0
    """Publishes answered with `duplicate`."""
    retried: int = 0
    released: int = 0
    takeovers: int = 0
    dead_letters: DeadLettersInfo = NO_DEAD_LETTERS
    """Those of the dead that are still kept, and were neither replayed nor discarded by an operator."""
    replayed: int = 0
    """Dead letters, of any queue, that were made live again in this one."""
    fenced: int = 0
    """Settlements refused because the lease had been taken over."""
    lanes: tuple[LaneInfo, ...] = ()
    """The fullest first, at most `MOST_LISTED`; where a thousand are held, the fullest of a thousand."""

    paused: Pause | None = None
    """None while it hands out what it holds."""

    @property
    def live(self) -> int:
        """Deliveries that have not ended, wherever they stand."""
        return self.ready + self.leased + self.scheduled + self.suspects + self.waiting

    @property
    def ended(self) -> int:
        """Deliveries that have ended, whatever they came to; with those that live, all that were accepted."""
        return self.succeeded + self.duplicate + self.dead + self.discarded


class WorkerInfo(msgspec.Struct, frozen=True):
    """One worker process that was heard of lately."""

    owner: str
    seen_at: int
    """Epoch milliseconds."""
    version: str = ""
    """Of Callboard; empty of a worker that is too old to tell it."""


class MailboxInfo(msgspec.Struct, frozen=True):
    """The state of a workspace at one moment."""

    workspace: str
    server: str
    """The server's name and version, or "memory"."""
    at: int
    """Epoch milliseconds."""
    queues: tuple[QueueInfo, ...] = ()
    """Sorted by name."""
    workers: tuple[WorkerInfo, ...] = ()
    unrouted: dict[str, int] = {}
    """Events published that nobody subscribed to, by contract name."""
