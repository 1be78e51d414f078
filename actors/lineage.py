"""What came of what: the events of one correlation as a tree, each with its deliveries as they stand."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from ..messages.codec import decode_envelope
from ..messages.delivery import ErrorRecord
from ..messages.errors import UnreadableBody
from .mailbox.correlations import TOLD_OF_CAUSE, RelatedEvent
from .mailbox.mailbox import Mailbox
from .mailbox.records import EndedRecord, Facts, FoundDelivery, LiveDelivery

MOST_EVENTS = 1000
"""Events of one correlation that are looked up, a round trip each."""


class DeliveryTold(msgspec.Struct, frozen=True):
    """One delivery of an event, as it stands or as it ended."""

    actor: str
    queue: str
    """Empty of a success of which no record is kept."""
    state: str
    """`ready`, `waiting`, `leased`, `scheduled` or `suspect`; `succeeded`, `dead` or `discarded`."""
    reason: str | None = None
    detail: str | None = None
    attempts: int | None = None
    """Attempts that were charged; null where that is not remembered."""
    accepted_at: int | None = None
    """Epoch milliseconds by the server's clock, as all that follow."""
    due_at: int | None = None
    ended_at: int | None = None
    ended_within_ms: int = 0
    """It ended at most so much later than `ended_at`."""
    until: int | None = None
    """When its lease ends or it is due again."""
    first_error: ErrorRecord | None = None
    last_error: ErrorRecord | None = None


class EventTold(msgspec.Struct, frozen=True):
    """One event of a correlation."""

    id: str
    name: str | None
    """The contract's; null where it is not remembered."""
    causation_id: str | None
    """The event whose handler published it; null if none did or it is not known."""
    depth: int
    """How many events it came of, one of the other."""
    published_at: int | None
    """Epoch milliseconds; by the publisher's clock where the server's is not remembered."""
    deliveries: tuple[DeliveryTold, ...]
    """Empty for an event that nobody subscribed to, or whose deliveries are not remembered any more."""


class Lineage(msgspec.Struct, frozen=True):
    """All that one cause brought about: each event before what came of it."""

    correlation_id: str
    is_whole: bool
    """False if there are more events than are shown."""
    events: tuple[EventTold, ...]


def lineage_of(mailbox: Mailbox, identity: str, most: int = MOST_EVENTS) -> Lineage | None:
    """What belongs to an event, a delivery (`actor:key`) or a correlation id; None if nothing is known of it.

    Raises what a mailbox does.
    """
    asked_for = mailbox.records.find(identity)
    own = _facts_of(asked_for)
    event_id = own.event or _key_in(identity, asked_for)
    correlated = mailbox.correlations.of(event_id, most)
    if not correlated.events and own.correlation:
        correlated = mailbox.correlations.of(own.correlation, most)
    events = {event.id: event for event in correlated.events}
    found = {event: mailbox.records.find(event) for event in events}
    for other in (correlated.correlation, event_id):
        if other not in events and (its := mailbox.records.find(other)):
            known = _facts_of(its)
            events[other] = RelatedEvent(other, known.contract, known.causation[-TOLD_OF_CAUSE:])
            found[other] = its
    if not events:
        return None
    return Lineage(correlated.correlation, correlated.is_whole, _in_order(events, found))


def _key_in(identity: str, found: Sequence[FoundDelivery]) -> str:
    """The key of what was found by a delivery's id: an event's, unless its publisher named another."""
    return found[0].key if len(found) == 1 and found[0].id == identity else identity


def _in_order(
    events: dict[str, RelatedEvent], found: dict[str, tuple[FoundDelivery, ...]]
) -> tuple[EventTold, ...]:
    """Each event before what came of it, and that by time."""
    by_tail = {event[-TOLD_OF_CAUSE:]: event for event in events}
    cause = {event.id: by_tail.get(event.cause) for event in events.values()}
    came_of: dict[str | None, list[str]] = defaultdict(list)
    for event in sorted(events, reverse=True):
        came_of[cause[event] if cause[event] != event else None].append(event)
    told: list[EventTold] = []
    left = [(event, 0) for event in came_of[None]]
    while left:
        event, depth = left.pop()
        told.append(_told(events[event], cause[event], depth, found[event]))
        left += [(each, depth + 1) for each in came_of[event]]
    return tuple(told)


def _told(event: RelatedEvent, cause: str | None, depth: int, found: Sequence[FoundDelivery]) -> EventTold:
    deliveries = tuple(told for each in found for told in _deliveries(each))
    accepted = [each.accepted_at for each in deliveries if each.accepted_at is not None]
    name = event.name or _facts_of(found).contract or None
    return EventTold(event.id, name, cause, depth, min(accepted, default=_moment_in(event.id)), deliveries)


def _deliveries(found: FoundDelivery) -> Iterable[DeliveryTold]:
    """What lives of an identity, what was completed, and what has ended before."""
    if found.live is not None:
        yield _living(found, found.live)
    if found.completed is not None and not any(each.kind == "succeeded" for each in found.ended):
        at, within = found.completed.at, found.completed.within_ms
        yield DeliveryTold(found.actor, "", "succeeded", ended_at=at, ended_within_ms=within)
    for record in found.ended:
        yield _ended(record)


def _living(found: FoundDelivery, live: LiveDelivery) -> DeliveryTold:
    return DeliveryTold(
        found.actor,
        found.queue,
        live.state.value,
        attempts=live.history.attempts,
        accepted_at=live.accepted_at,
        due_at=live.due_at,
        until=live.until,
        first_error=live.history.first_error,
        last_error=live.history.last_error,
    )


def _ended(record: EndedRecord) -> DeliveryTold:
    return DeliveryTold(
        record.actor,
        record.queue,
        record.kind.value,
        record.reason.value if record.reason else None,
        record.detail,
        record.history.attempts,
        record.accepted_at,
        record.due_at,
        record.at,
        first_error=record.history.first_error,
        last_error=record.history.last_error,
    )


def _facts_of(found: Iterable[FoundDelivery]) -> Facts:
    """What is known of the event of some deliveries."""
    for each in found:
        for record in each.ended:
            if record.facts.event:
                return record.facts
        for body in (*([each.live.body] if each.live else []), *(record.body for record in each.ended)):
            if (facts := _facts_in(body)) is not None:
                return facts
    return Facts()


def _facts_in(body: bytes) -> Facts | None:
    try:
        envelope = decode_envelope(body)
    except UnreadableBody:
        return None
    return Facts(
        envelope.id,
        envelope.type,
        correlation=envelope.correlationid or "",
        causation=envelope.causationid or "",
    )


def _moment_in(event_id: str) -> int | None:
    """When a UUID of version 7 was made; None for any other id."""
    digits = event_id.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":  # noqa: PLR2004 - hexadecimal digits of a UUID
        return None
    try:
        return int(digits[:12], 16)
    except ValueError:
        return None
