"""What a mailbox knows of deliveries one by one: where they stand, and how those ended that have.

Words of a server stay out of it. A look is bounded, however full the mailbox is.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from ...messages.delivery import ACCEPTED_END, FINGERPRINT_SIZE, HEADER_SIZE, History, OutcomeKind, Reason

MOST_LOOKED_AT = 10_000
"""How far into a queue a look goes to tell how many are ahead."""

MOST_RECORDS = 20
"""Records of one delivery that a look brings, the latest."""


class State(StrEnum):
    """Where a delivery stands that has not ended."""

    READY = "ready"
    WAITING = "waiting"
    """In a lane, for another to end or for a slot of its actor."""
    LEASED = "leased"
    SCHEDULED = "scheduled"
    SUSPECT = "suspect"
    """Taken over from a lost worker, to be run before others."""


class EndedRecord(msgspec.Struct, frozen=True):
    """What is kept of a dead or discarded delivery. Its repr shows no body."""

    id: str
    """The delivery's id, `#` and its last fence: unique, for an identity may end more than once."""
    queue: str
    kind: OutcomeKind
    reason: Reason
    at: int
    """When it ended, epoch milliseconds."""
    history: History
    stored: bytes
    """Header and body."""
    detail: str | None = None

    @property
    def delivery(self) -> str:
        """The delivery's id, `actor:key`."""
        return self.id.rpartition("#")[0]

    @property
    def actor(self) -> str:
        """The name of the actor it was for."""
        return self.id.partition(":")[0]

    @property
    def body(self) -> bytes:
        """The envelope as it came in, not decoded."""
        return self.stored[HEADER_SIZE:]

    def __repr__(self) -> str:
        return f"<EndedRecord {self.kind} {self.reason} queue={self.queue} attempts={self.history.attempts}>"


class LiveDelivery(msgspec.Struct, frozen=True):
    """A delivery that has not ended, as it stands at one moment. Its repr shows no body."""

    state: State
    stored: bytes
    """Header and body."""
    history: History
    until: int | None = None
    """When its lease ends or it is due, epoch milliseconds."""
    owner: str = ""
    """The worker that has it leased, where that is known."""
    ahead: int | None = None
    """How many stand before it in the list it is in; None if it is in none, or deeper than a look goes."""
    behind: str = ""
    """The delivery that it waits for in its ordered lane."""

    @property
    def accepted_at(self) -> int:
        """When the mailbox accepted it, epoch milliseconds."""
        return int(self.stored[FINGERPRINT_SIZE:ACCEPTED_END])

    @property
    def due_at(self) -> int:
        """When it was first due, epoch milliseconds."""
        return int(self.stored[ACCEPTED_END:HEADER_SIZE])

    @property
    def body(self) -> bytes:
        """The envelope as it came in, not decoded."""
        return self.stored[HEADER_SIZE:]

    def __repr__(self) -> str:
        return f"<LiveDelivery {self.state} attempts={self.history.attempts}>"


class Completion(msgspec.Struct, frozen=True):
    """What is remembered of every success for the dedup window: that it was, and about when."""

    at: int
    """Epoch milliseconds."""
    within_ms: int = 0
    """It was at most this much later."""


class FoundDelivery(msgspec.Struct, frozen=True):
    """All that is known of one identity: it may live, and have ended before."""

    id: str
    """`actor:key`."""
    queue: str
    """Where it lives; empty if it does not."""
    live: LiveDelivery | None = None
    completed: Completion | None = None
    """The latest completion within its window."""
    ended: tuple[EndedRecord, ...] = ()
    """The latest first, at most `MOST_RECORDS`."""

    @property
    def actor(self) -> str:
        """The name of the actor it is for."""
        return self.id.partition(":")[0]

    @property
    def key(self) -> str:
        """The dedup key."""
        return self.id.partition(":")[2]


class Records(Protocol):
    """Looks deliveries up. Raises what `Mailbox` does."""

    def find(self, identity: str) -> tuple[FoundDelivery, ...]:
        """The deliveries of an event by its id, which a receipt has, or the one of an id (`actor:key`).

        Of an event those of the actors that are routed, in the order of fan-out, then what else is known
        by its id. Empty if nothing is. A delivery whose key is not the event's id is found by that id for as
        long as its window lasts after it was due, or its record is kept.
        """
        ...
