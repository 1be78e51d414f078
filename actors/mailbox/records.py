"""What a mailbox knows of deliveries one by one: where they stand, and how those ended that have.

Words of a server stay out of it. A look is bounded, however full the mailbox is.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from ...messages.delivery import History, OutcomeKind, Reason
from ...messages.stored import HEADER_SIZE, Stored

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


class Facts(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a worker tells of an attempt for the record; what is not known has its default."""

    event: str = ""
    """The event's id."""
    contract: str = ""
    version: int = 0
    """The contract's, in which it was published."""
    entity: str = ""
    """The key of the entity the event is about."""
    correlation: str = ""
    causation: str = ""
    owner: str = ""
    """The worker that made the last attempt."""
    started_at: int = 0
    """When that attempt started, epoch milliseconds of the server's clock."""


NO_FACTS = Facts()


class EndedRecord(Stored, msgspec.Struct, frozen=True):
    """What is kept of a delivery that has ended. Its repr shows no body."""

    id: str
    """The delivery's id, `#` and its last fence: unique, for an identity may end more than once."""
    queue: str
    kind: OutcomeKind
    reason: Reason | None
    """Set for `dead` and `discarded`."""
    at: int
    """When it ended, epoch milliseconds."""
    history: History
    stored: bytes
    """Header and body; the header alone of a success, and where bodies were not asked for."""
    detail: str | None = None
    facts: Facts = NO_FACTS
    """What its worker told; nothing if it was lost."""
    until: int = 0
    """When it will be forgotten, epoch milliseconds."""
    lane: str = ""
    """The ordered lane it belonged to."""
    was: Reason | None = None
    """Why it was dead, where an operator discarded it."""
    replayed_at: int | None = None
    """When it was made live again, epoch milliseconds; it is no dead letter any more."""

    @property
    def delivery(self) -> str:
        """The delivery's id, `actor:key`."""
        return self.id.rpartition("#")[0]

    @property
    def actor(self) -> str:
        """The name of the actor it was for."""
        return self.id.partition(":")[0]

    def __repr__(self) -> str:
        return f"<EndedRecord {self.kind} {self.reason} queue={self.queue} attempts={self.history.attempts}>"


def without_told_body(record: EndedRecord) -> EndedRecord:
    """The same without its body, unless nothing else tells what it is of."""
    if not record.facts.contract:
        return record
    return msgspec.structs.replace(record, stored=record.stored[:HEADER_SIZE])


class LiveDelivery(Stored, msgspec.Struct, frozen=True):
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


Cursor = tuple[int, str]
"""When a record's delivery ended, and the record's name: where a page ends and the next begins."""

KINDS = (OutcomeKind.DEAD, OutcomeKind.DISCARDED, OutcomeKind.SUCCEEDED)
"""What records are kept of, each kind in an order of its own."""


class Span(msgspec.Struct, frozen=True):
    """Which records of a queue are wanted, and in what order."""

    queue: str
    kind: OutcomeKind
    actor: str = ""
    """Empty for any."""
    since: int = 0
    """Ended then or later, epoch milliseconds."""
    until: int | None = None
    """Ended then or earlier."""
    newest_first: bool = True
    bodies: bool = False
    """Whether the records' bodies are wanted, which may be large."""


class Page(msgspec.Struct, frozen=True):
    """Some records, and where the next page begins."""

    records: list[EndedRecord]
    next: Cursor | None
    """None when there are no more; a page may be empty and not the last, for other actors are left out."""


class Replay(msgspec.Struct, frozen=True):
    """A dead letter to be made live again, and as what."""

    name: str
    """The record's."""
    id: str
    """The delivery's, `actor:key`."""
    queue: str
    window_ms: int
    """How long a completion of the same id makes it a duplicate."""
    lane: str = ""
    """Its ordered lane; empty for the one it had, if it goes to the same actor."""


class Redress(StrEnum):
    """What became of a dead letter that was to be replayed or discarded."""

    DONE = "done"
    """By this run, now or before."""
    ALREADY = "already"
    """Replayed or discarded by another run."""
    DUPLICATE = "duplicate"
    """A delivery of its id lives, or was completed within its window: it stays dead."""
    CONFLICT = "conflict"
    """The same with another body: it stays dead."""
    GONE = "gone"
    """Forgotten, or never there."""


class Records(Protocol):
    """Looks deliveries up, and mends dead ones. Raises what `Mailbox` does."""

    def find(self, identity: str) -> tuple[FoundDelivery, ...]:
        """The deliveries of an event by its id, which a receipt has, or the one of an id (`actor:key`).

        Of an event those of the actors that are routed, in the order of fan-out, then what else is known
        by its id. Empty if nothing is. A delivery whose key is not the event's id is found by that id for as
        long as its window lasts after it was due, or its record is kept. Records come without their bodies,
        unless their workers could not tell what they are of: the body alone does then.
        """
        ...

    def page(self, span: Span, limit: int, start: Cursor | None = None) -> Page:
        """Up to `limit` records, from the first or from where a page ended."""
        ...

    def get(self, name: str) -> EndedRecord | None:
        """One record by its name, with its body."""
        ...

    def replay(self, letters: Sequence[Replay], run: str) -> list[Redress]:
        """Make dead letters live again, all at one moment: their attempts and their age begin anew.

        What became of its items goes along with each that stays the same delivery; see `Ledger`. The record
        is marked as replayed. Called again with the same `run`, a name nobody else gives, it answers the
        same and changes nothing.
        """
        ...

    def discard(self, names: Sequence[str], run: str) -> list[Redress]:
        """Let dead letters be discarded by the operator, all at one moment; again as for `replay`."""
        ...


def records_in(records: Records, span: Span, a_page: int = 100) -> Iterator[EndedRecord]:
    """All records of a span, a page at a time; what is mended meanwhile shifts nothing."""
    page = records.page(span, a_page)
    yield from page.records
    while page.next is not None:
        page = records.page(span, a_page, page.next)
        yield from page.records
