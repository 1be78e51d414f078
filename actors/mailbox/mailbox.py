"""The interface of a mailbox: where deliveries wait, are leased, scheduled, settled and remembered.

Words of a server stay out of it. A mailbox is safe to use from many threads at once, and every
method may be called again after an error without doing its work twice.
"""

from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from ...messages.delivery import Delivery, History, Outcome
from .controls import Controls
from .correlations import CameOf, Correlations
from .gauges import Gauges
from .infos import MailboxInfo
from .ledger import Ledger
from .records import EndedRecord, Facts, Records
from .running import Running
from .schedule import Schedule
from .subscriptions import RouteBook, Subscription
from .suspects import EACH_ALONE, Suspects

PAUSED_LOOK_MS = 1_000
"""Workers need not look at a paused queue more often, whatever comes due in it."""

MIN_WINDOW_MS = 120_000
"""A completion is remembered at least this long, so that a settlement sent twice is known as one."""

ENDED_RETENTION_MS = 30 * 24 * 3_600_000
"""How long the record of a failure is kept whose contract does not say; that of a success no longer."""

MOST_RECORDED = 1_000_000
"""Records of one kind that a queue keeps, if the settings do not say: beyond it the oldest is forgotten."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """One delivery to be made of an event."""

    actor: str
    queue: str
    key: str
    """The dedup key: with the actor's name the identity of the delivery."""
    window_ms: int
    """How long the completion of an earlier delivery of the same identity makes this one a duplicate."""
    lane: str = ""
    """Deliveries of a lane are handed out one at a time in the order in which they became ready: the next one
    when the one before has succeeded, died or been discarded, and not while it waits for a retry. Empty for
    none. Lanes belong to a queue; a name is the actor's and an entity's, so that no two actors share one."""

    @property
    def identity(self) -> str:
        """The id of the delivery."""
        return f"{self.actor}:{self.key}"


class Posting(msgspec.Struct, frozen=True, gc=False):
    """One event on its way in: its bytes and whom they are for. Its repr shows no body."""

    event: str
    """The contract's name."""
    body: bytes
    fingerprint: bytes
    """16 bytes that tell one body from another under the same key."""
    targets: tuple[Target, ...]
    """Empty for an event without a route, which is only counted."""
    delay_ms: int = 0
    """Wait this long, by the mailbox's clock."""
    due_at: int = 0
    """Or wait until this moment, epoch milliseconds; 0 for now."""
    key: str = ""
    """The dedup key, for targets that are found later."""
    routes_version: int | None = None
    """The version of the routes that the targets were found by, where the mailbox shall check it."""
    fresh: bool = False
    """The keys were made for this posting and never sent before, so none can be a duplicate."""
    sent_before: bool = False
    """An earlier try was not answered: it may have been accepted, and what it made may have ended."""
    command: bool = False
    """Exactly one actor shall have it, for targets that are found later."""
    entity: str = ""
    """The key of the entity the event is about, for the lanes of targets that are found later."""
    said_key: bool = False
    """The publisher named the key itself, so no actor's dedup option has a say in it."""
    id: str = ""
    """The event's id, by which its deliveries are found where the key is another; empty if it has none."""
    came_of: CameOf | None = None
    """What it came of; None for an event that began something, of which nothing is written down."""

    def __repr__(self) -> str:
        return f"<Posting {self.event} key={self.key} targets={len(self.targets)}>"


class Verdict(StrEnum):
    """What became of one target of a posting."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """A delivery of this identity lives, or was completed within its window."""
    CONFLICT = "conflict"
    """The same with another body: nothing of the posting was stored."""
    WITHHELD = "withheld"
    """Another target of the posting is in conflict: nothing of it was stored."""


class Fetched(msgspec.Struct):
    """What a fetch handed out, and what the mailbox says of the rest."""

    deliveries: list[Delivery]
    waiting: int = 0
    """Deliveries of the queue that are ready and were not handed out."""
    suspects: int = 0
    """Deliveries that were taken over and wait to run alone; told to one worker at a time."""
    next_in_ms: int | None = None
    """Until the next schedule or lease of the queue runs out; None if there is none."""
    together: int = 0
    """Suspects left for a worker that takes them together and has room for more."""
    taken_over: int = 0
    """Leases of others that had run out, and were taken back by this fetch."""
    poisoned: Sequence[Delivery] = ()
    """What is dead by that, as it was: its crash alone was one too many."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """An outcome to be made durable, with what the handler published."""

    delivery: Delivery
    outcome: Outcome
    window_ms: int = MIN_WINDOW_MS
    """For `succeeded` and `duplicate`: how long to remember the completion."""
    history: History | None = None
    """For `retried`, `dead` and `discarded`: what to remember of the attempts so far. Of a success's it
    only counts whether it has items; None for no items."""
    postings: tuple[Posting, ...] = ()
    """Published together with the success, or not at all. What conflicts with an earlier event of its key
    can no longer be refused: it is kept among the dead, with the reason `payload_conflict`."""
    facts: Facts | None = None
    """What its record tells of it. None for a success of which no record is kept, nearly all there are."""
    retention_ms: int = ENDED_RETENTION_MS
    """How long the record is kept, at least `MIN_WINDOW_MS`."""


class Mailbox(Protocol):
    """Where deliveries wait, are leased, scheduled, settled and remembered.

    Every method raises `MailboxUnavailable` when the server cannot be reached and `MailboxRefused`
    when it will not do what was asked.
    """

    @property
    def gauges(self) -> Gauges:
        """What metrics tell of the queues."""
        ...

    @property
    def records(self) -> Records:
        """Where deliveries stand, and what is remembered of those that have ended."""
        ...

    @property
    def correlations(self) -> Correlations:
        """Which events came of which."""
        ...

    @property
    def controls(self) -> Controls:
        """What an operator sets of queues."""
        ...

    @property
    def ledger(self) -> Ledger:
        """What became of the single items of deliveries."""
        ...

    @property
    def running(self) -> Running:
        """What workers say they are at."""
        ...

    @property
    def schedule(self) -> Schedule:
        """What is due later, and moving or cancelling it."""
        ...

    def publish(self, postings: Sequence[Posting], routes_version: int | None = None) -> list[list[Verdict]]:
        """Store every posting for all its targets or for none; a verdict for each target, in order.

        Postings do not depend on each other. Raises `StaleRoutes`, having stored nothing, when
        `routes_version` is given and is not the version of the mailbox's routes. It tells whether
        the call was tried before, without an answer; the postings are then to be marked `sent_before`.
        """
        ...

    def fetch(
        self,
        queue: str,
        limit: int,
        *,
        owner: str,
        lease_ms: int,
        alone: bool = False,
        suspects: Suspects = EACH_ALONE,
    ) -> Fetched:
        """Lease up to `limit` deliveries of a queue to `owner`.

        Moves due schedules in and takes expired leases back first. With `alone`, hands out at most
        one suspect and nothing else; its crash is charged as an attempt. Suspects that may run together
        go before what is ready, in a fetch of their own. What its lane or its actor's
        limit does not let through is put aside, uncharged, until it may be handed out. Of a paused queue
        nothing is handed out, and `waiting` and `suspects` tell of none.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Make outcomes durable, each if its fence still holds; False where the lease was taken over.

        `duplicate` completes like `succeeded`; `released` gives a delivery back to the head of its
        queue, or lets it wait for the outcome's delay, without charging an attempt. Settling the same
        again answers True and changes nothing.
        Raises `StaleRoutes` when postings were routed by another version of the routes than the
        mailbox's: their settlements were not made, the others were.
        """
        ...

    def renew(self, deliveries: Sequence[Delivery], lease_ms: int) -> list[Delivery]:
        """Extend leases to `lease_ms` from now; returns the deliveries that are no longer held."""
        ...

    def wait(self, queue: str, seconds: float) -> bool:
        """Block until something of the queue may be fetched, or for `seconds`; whether woken.

        Whoever has waited, and will neither wait again nor fetch, says so with `wait_no_more`.
        """
        ...

    def wait_no_more(self, queue: str) -> None:
        """Leave wake-ups to others: one that came after the last `wait` may be held for the next."""
        ...

    def register(self, subscriptions: Sequence[Subscription]) -> None:
        """Make known what the actors of a worker subscribe to, replacing what they did before.

        What an actor says for the first time is newer than all it said before. What it said earlier does not
        replace what is newer, as long as workers uphold that: they confirm it within `UPHELD_MS`.

        A limit counts what is fetched from then on: a lower one takes nothing back, a higher one or none
        lets in what waits.
        """
        ...

    def routes(self) -> RouteBook:
        """The subscriptions confirmed within the last 7 days."""
        ...

    def heartbeat(
        self, owner: str, queues: Collection[str] = (), *, version: str = "", leaving: bool = False
    ) -> None:
        """Tell that a worker process is there and takes from queues, or that it leaves.

        `version` is that of Callboard that it runs.
        """
        ...

    def info(self) -> MailboxInfo:
        """The state of all queues, at one moment."""
        ...

    def ended(self, queue: str, limit: int = 100) -> list[EndedRecord]:
        """The dead and discarded deliveries of a queue, the latest first."""
        ...

    def purge(self, queue: str, told: Callable[[int], None] = lambda _: None) -> int:
        """Discard all of a queue that is not leased (reason `operator`); how many.

        `told` hears now and then how many have been.
        """
        ...

    def close(self) -> None:
        """Let go of connections. Blocked calls end; later ones raise `MailboxUnavailable`."""
        ...
