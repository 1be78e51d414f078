"""What the collector sees of a mailbox: its queues at one moment."""

from typing import Protocol

import msgspec


class QueueState(msgspec.Struct, frozen=True):
    """One queue."""

    queue: str
    ready: int = 0
    """What a worker may take now, suspects included."""
    waiting: int = 0
    """In lanes, until another delivery has ended or a slot of the actor is free."""
    leased: int = 0
    scheduled: int = 0
    dead: int = 0
    """Dead deliveries that are kept."""
    oldest_ready_ms: int = 0
    """How long the oldest that is ready, and was never tried, has been due; 0 if there is none."""
    oldest_dead_ms: int = 0
    """How long ago the oldest dead one that is kept ended; 0 if there is none."""
    workers: int = 0
    """Worker processes that take from it."""
    paused: int = 0
    """1 if it is."""
    discarded: int = 0
    """Deliveries that ever ended discarded: by their worker, by a cancel, a purge or an operator."""
    replayed: int = 0
    """Dead letters that were ever made live again in it."""


class ServerMemory(msgspec.Struct, frozen=True):
    """What a server takes, with all that others keep there."""

    used_bytes: int
    limit_bytes: int
    """Beyond which it refuses to publish; 0 if it has no limit."""


class MailboxState(msgspec.Struct, frozen=True):
    """All queues of a workspace."""

    server: str
    """The server's name and version."""
    queues: tuple[QueueState, ...] = ()
    memory: ServerMemory | None = None
    """None where there is no server, or where it does not tell this user."""


class StateSource(Protocol):
    """Reads the state of one mailbox, in one or two round trips however many queues there are."""

    def read(self) -> MailboxState:
        """The state now; raises a `CallboardError` when the server cannot be asked."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
