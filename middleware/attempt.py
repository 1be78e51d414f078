"""One start of a handler for a delivery: what the layers of the stack see and hand on."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from ..messages.conceal import secrets_of
from ..messages.delivery import Delivery, ErrorRecord, History
from ..messages.envelope import Envelope
from ..messages.event import Event
from ..observability.traces import trace_id_in
from .discard import Discard
from .retry import Retry

if TYPE_CHECKING:
    from ..observability.spans import Processing
    from .deadline import Deadline
    from .dedup.option import Dedup
    from .layer import Entered
    from .partial import ItemsAtWork


class Policy(msgspec.Struct, frozen=True):
    """The options of one actor, resolved."""

    actor: str
    contracts: dict[str, int]
    """The dedup window in milliseconds, by the names of the contracts it takes; none for a plain actor."""
    retry: Retry | None = None
    """None leaves a plain actor's retries to dramatiq."""
    timeout: float | None = None
    """Seconds an attempt may take; None for no limit of ours."""
    longest_timeout: float = 60.0
    """Seconds that no attempt may ask for more than."""
    discard: tuple[Discard, ...] = ()
    """What is not handled, the first that applies having the say."""
    dedup: "Dedup | None" = None
    """A store of its own to claim each delivery in; None leaves it to the mailbox."""
    retention: dict[str, int] = {}
    """How long a record is kept of each delivery, successes too, in milliseconds by the contract's name."""


class Attempt:
    """One start of a handler for a delivery."""

    __slots__ = (
        "arguments",
        "deadline",
        "delivery",
        "entered",
        "envelope",
        "event",
        "exception",
        "given_up",
        "held",
        "is_stuck",
        "items",
        "policy",
        "published",
        "result",
        "span",
        "started",
        "timeout",
        "traceparent",
    )

    envelope: Envelope
    """Set by the decode layer."""
    event: Event
    """Set by the decode layer."""
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    """What a plain actor is called with; events' actors have none."""
    result: object
    """What a plain actor returned."""

    def __init__(self, delivery: Delivery, policy: Policy) -> None:
        self.delivery = delivery
        self.policy = policy
        self.held = delivery
        """What the mailbox has leased: a plain actor's layers see it under the message's id."""
        self.timeout = policy.timeout
        """Seconds this attempt may take."""
        self.entered: list[Entered] = []
        """The layers that wait for what the handler comes to, the outermost first."""
        self.deadline: Deadline | None = None
        """Set when the handler starts, if it has a timeout."""
        self.span: Processing | None = None
        """The span it runs in, where traces are configured."""
        self.traceparent: str | None = None
        """The W3C trace context of a plain actor's message; an event's is in its envelope."""
        self.exception: BaseException | None = None
        self.published: list[Any] | None = None
        """What the handler published, to go out with its success."""
        self.items: ItemsAtWork | None = None
        """What became of single items, if its handler asked for them."""
        self.started = False
        """Whether it is charged: the handler was called, and did not fail for another event of its batch."""
        self.is_stuck = False
        """Whether the handler went on after it was interrupted."""
        self.given_up = False
        """Whether another thread says what the attempt came to: what the handler still does is too late."""

    @property
    def members(self) -> "tuple[Attempt, ...]":
        """The attempts that one call of the handler is for."""
        return (self,)

    @property
    def trace_id(self) -> str | None:
        """The id of the trace that it is part of, or that its event was published in; None for neither."""
        if self.span is not None:
            return self.span.trace_id
        envelope: Envelope | None = getattr(self, "envelope", None)
        return trace_id_in(self.traceparent if envelope is None else envelope.traceparent)

    def log_fields(self) -> dict[str, object]:
        """What every line carries that is written in its handler: ids and metadata, no content."""
        delivery = self.delivery
        envelope: Envelope | None = getattr(self, "envelope", None)
        trace_id = self.trace_id
        traced = {} if trace_id is None else {"trace_id": trace_id}
        if envelope is None:
            return {
                "actor": self.policy.actor,
                "delivery": delivery.id,
                "attempt": delivery.attempt,
                **traced,
            }
        return {
            "event_name": envelope.type,
            "event_id": envelope.id,
            "actor": self.policy.actor,
            "delivery": _without_key(delivery, envelope.id),
            "attempt": delivery.attempt,
            "correlation_id": envelope.correlationid or envelope.id,
            **traced,
        }

    def secrets(self) -> Sequence[str]:
        """The sensitive values of its event, which no text about it may show."""
        event: Event | None = getattr(self, "event", None)
        return () if event is None else secrets_of(event)

    def age_ms(self, *, include_delay: bool = False) -> int:
        """How long ago the event was due, or with its delay accepted, by the server's clock."""
        delivery = self.delivery
        return delivery.clock.now() - (delivery.accepted_at if include_delay else delivery.due_at)

    @property
    def has_ledger(self) -> bool:
        """Whether the mailbox may keep what became of items, from this attempt or an earlier one."""
        # Asked of the attempt and not of its records: a thread that was left behind may still make one.
        return self.items is not None or self.delivery.history.items

    def history(self, error: ErrorRecord | None) -> History:
        """What to remember when this attempt is charged."""
        earlier = self.delivery.history
        return History(
            attempts=earlier.attempts + self.started,
            crashes=earlier.crashes,
            first_error=earlier.first_error or error,
            last_error=error or earlier.last_error,
            items=self.has_ledger,
            replays=earlier.replays,
        )


def _without_key(delivery: Delivery, event_id: str) -> str:
    """A delivery's id; where its key is not the event's id, a digest of it: it may be a person's."""
    key = delivery.key
    if key == event_id:
        return delivery.id
    return f"{delivery.actor}:#{blake2b(key.encode(), digest_size=6).hexdigest()}"
