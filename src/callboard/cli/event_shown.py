"""What commands show of single deliveries, as types; bodies only where they are asked for."""

from base64 import b64encode
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from ..actors.dead_letters import facts_in
from ..actors.mailbox.mailbox import Mailbox
from ..actors.mailbox.records import EndedRecord, FoundDelivery, LiveDelivery, State
from ..messages.conceal import shown_body
from ..messages.delivery import ErrorRecord, OutcomeKind, Reason
from ..messages.items import ItemRecord
from .items_shown import MOST_SHOWN, ItemsCounted, counted_items, some_items


class ErrorShown(msgspec.Struct, frozen=True):
    """One error of a delivery."""

    type: str
    message: str
    fingerprint: str
    """The same for errors of one type that came through the same functions."""
    at: int
    """Epoch milliseconds, as all moments here."""


class Bytes(StrEnum):
    """How much of what was published is shown."""

    NONE = "none"
    SHOWN = "shown"
    """As text, without what its envelope calls sensitive."""
    RAW = "raw"
    """Every byte, in base64."""


def asked_for(*, body: bool, raw: bool, items: int) -> "Asked":
    """What the options `--body`, `--raw` and `--items` ask for."""
    return Asked(Bytes.RAW if raw else Bytes.SHOWN if body else Bytes.NONE, items)


@dataclass(frozen=True)
class Asked:
    """How much of each delivery is shown."""

    body: Bytes = Bytes.NONE
    items: int = MOST_SHOWN
    """So many of its items at most."""


class BodyShown(msgspec.Struct, frozen=True):
    """What was published, as it was asked for; neither of both where it cannot be told what is sensitive."""

    text: str | None = None
    base64: str | None = None


class Origin(msgspec.Struct, frozen=True):
    """Which event a delivery is of, as far as that is known."""

    event: str
    """Its id."""
    contract: str
    version: int
    correlation: str
    causation: str


class LiveShown(msgspec.Struct, frozen=True):
    """A delivery that has not ended."""

    state: State
    until: int | None
    """When its lease ends or it is due."""
    owner: str
    ahead: int | None
    behind: str
    attempts: int
    crashes: int
    accepted_at: int
    due_at: int
    first_error: ErrorShown | None
    last_error: ErrorShown | None
    item_counts: ItemsCounted
    items: tuple[ItemRecord, ...]
    """Some of them: those that failed first."""
    body: BodyShown | None


class CompletedShown(msgspec.Struct, frozen=True):
    """A success, as it is remembered for the window."""

    at: int
    within_ms: int


class RecordShown(msgspec.Struct, frozen=True):
    """All that is kept of a delivery that has ended."""

    name: str
    delivery: str
    actor: str
    queue: str
    outcome: OutcomeKind
    reason: Reason | None
    was: Reason | None
    """Why it was dead before an operator discarded it."""
    detail: str | None
    attempts: int
    crashes: int
    accepted_at: int
    due_at: int
    started_at: int | None
    ended_at: int
    forgotten_at: int
    replayed_at: int | None
    owner: str
    origin: Origin
    first_error: ErrorShown | None
    last_error: ErrorShown | None
    item_counts: ItemsCounted
    items: tuple[ItemRecord, ...]
    """Some of them: those that failed first."""
    body: BodyShown | None


class DeliveryShown(msgspec.Struct, frozen=True):
    """One actor's delivery of an event."""

    delivery: str
    actor: str
    queue: str
    origin: Origin | None
    live: LiveShown | None
    completed: CompletedShown | None
    ended: tuple[RecordShown, ...]


class EventShown(msgspec.Struct, frozen=True):
    """What `callboard event show` prints."""

    id: str
    at: int
    deliveries: tuple[DeliveryShown, ...]


class EndedShown(msgspec.Struct, frozen=True):
    """One line of a list: no body, and no text of an error."""

    name: str
    delivery: str
    actor: str
    queue: str
    outcome: OutcomeKind
    reason: Reason | None
    attempts: int
    ended_at: int
    event: str
    contract: str
    error: str
    fingerprint: str


def delivery_shown(found: FoundDelivery, mailbox: Mailbox, asked: Asked) -> DeliveryShown:
    """One delivery with all that is known of it."""
    live = found.live
    origin = None
    if live is not None:
        origin = _origin(EndedRecord("", "", OutcomeKind.DEAD, None, 0, live.history, live.stored))
    return DeliveryShown(
        found.id,
        found.actor,
        found.queue,
        origin,
        None if live is None else _live_shown(live, found.id, mailbox, asked),
        None if found.completed is None else CompletedShown(found.completed.at, found.completed.within_ms),
        tuple(record_shown(each, mailbox, asked) for each in found.ended),
    )


def record_shown(record: EndedRecord, mailbox: Mailbox, asked: Asked) -> RecordShown:
    """One record with all that is kept."""
    if asked.body is not Bytes.NONE and not record.body:
        record = mailbox.records.get(record.id) or record
    history = record.history
    items = mailbox.ledger.of_ended(record.id) if history.items else []
    return RecordShown(
        record.id,
        record.delivery,
        record.actor,
        record.queue,
        record.kind,
        record.reason,
        record.was,
        record.detail,
        history.attempts,
        history.crashes,
        record.accepted_at,
        record.due_at,
        record.facts.started_at or None,
        record.at,
        record.until,
        record.replayed_at,
        record.facts.owner,
        _origin(record),
        _error_shown(history.first_error),
        _error_shown(history.last_error),
        counted_items(items),
        some_items(items, asked.items),
        _body_shown(record.body, asked.body),
    )


def ended_shown(record: EndedRecord) -> EndedShown:
    """One record as a list has it."""
    error = record.history.last_error
    return EndedShown(
        record.id,
        record.delivery,
        record.actor,
        record.queue,
        record.kind,
        record.reason,
        record.history.attempts,
        record.at,
        record.facts.event,
        record.facts.contract,
        error.type if error else "",
        error.origin if error else "",
    )


def _live_shown(live: LiveDelivery, identity: str, mailbox: Mailbox, asked: Asked) -> LiveShown:
    history = live.history
    items = mailbox.ledger.of(identity) if history.items else []
    return LiveShown(
        live.state,
        live.until,
        live.owner,
        live.ahead,
        live.behind,
        history.attempts,
        history.crashes,
        live.accepted_at,
        live.due_at,
        _error_shown(history.first_error),
        _error_shown(history.last_error),
        counted_items(items),
        some_items(items, asked.items),
        _body_shown(live.body, asked.body),
    )


def _origin(record: EndedRecord) -> Origin:
    facts = record.facts if record.facts.contract else facts_in(record)
    return Origin(facts.event, facts.contract, facts.version, facts.correlation, facts.causation)


def _error_shown(error: ErrorRecord | None) -> ErrorShown | None:
    return None if error is None else ErrorShown(error.type, error.message, error.origin, error.at)


def _body_shown(body: bytes, asked: Bytes) -> BodyShown | None:
    if asked is Bytes.NONE or not body:
        return None
    if asked is Bytes.RAW:
        return BodyShown(base64=b64encode(body).decode())
    shown = shown_body(body)
    return BodyShown(text=None if shown is None else shown.decode())
