"""What a test may assert on: attempts, ends and schedules as values whose reprs tell what happened."""

from datetime import UTC, datetime, timedelta

import msgspec

from ..messages.catalog import Catalog
from ..messages.codec import decode_envelope
from ..messages.delivery import ErrorRecord, OutcomeKind, Reason
from ..messages.errors import UnknownContract, UnreadableBody
from ..messages.event import Event
from ..messages.items import ItemCounts, ItemRecord


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that the stage has seen."""

    event: Event | None
    """None when the body cannot be read."""
    actor: str
    number: int
    """Counted from 1."""
    outcome: OutcomeKind | None
    """None when the worker was lost: then there is none."""
    reason: Reason | None = None
    detail: str | None = None
    """The words given with a signal, or with what could not be read."""
    error: BaseException | None = None
    """What the handler raised: the exception itself, or the signal that asked for a retry."""
    retry_in: timedelta | None = None
    """For `retried`: the wait until the next attempt."""
    items: tuple[ItemRecord, ...] = ()
    """What it made of the items that its handler went through, in order."""
    item_counts: ItemCounts | None = None
    """How they fared, with those that were left out; None for a handler that did not ask for items."""
    at: datetime

    def __repr__(self) -> str:
        said = "worker lost" if self.outcome is None else _ending(self.outcome, self.reason, self.detail)
        wait = f" in {self.retry_in}" if self.retry_in is not None else ""
        error = f" after {self.error!r}" if self.error is not None else ""
        ending = f"{said}{wait}{error}, {self.event!r}"
        return f"<attempt {self.number} of {self.actor} at {_shown(self.at)}: {ending}>"


class EndedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that ended dead or discarded."""

    event: Event | None
    """None when the body cannot be read."""
    actor: str
    outcome: OutcomeKind
    reason: Reason | None
    detail: str | None
    attempts: int
    """Attempts that were charged."""
    error: ErrorRecord | None
    """The last error, as the mailbox keeps it."""
    items: tuple[ItemRecord, ...] = ()
    """What became of its items in all attempts, by their keys."""
    at: datetime

    def __repr__(self) -> str:
        error = f", {self.error.type}: {self.error.message}" if self.error is not None else ""
        ending = _ending(self.outcome, self.reason, self.detail)
        return (
            f"<{ending}: {self.actor} at {_shown(self.at)} attempts={self.attempts}{error}, {self.event!r}>"
        )


class ScheduledDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that waits until it is due."""

    event: Event | None
    """None when the body cannot be read."""
    actor: str
    number: int
    """The number its next attempt has."""
    due: datetime

    def __repr__(self) -> str:
        return f"<attempt {self.number} of {self.actor} due {_shown(self.due)}, {self.event!r}>"


def event_in(catalog: Catalog, body: bytes) -> Event | None:
    """The event in a body; None when it cannot be read."""
    try:
        return catalog.read(decode_envelope(body))
    except (UnknownContract, UnreadableBody):
        return None


def moment(ms: int) -> datetime:
    """The moment of epoch milliseconds, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ending(outcome: OutcomeKind, reason: Reason | None, detail: str | None) -> str:
    why = ", ".join(word for word in (reason, detail) if word)
    return f"{outcome} ({why})" if why else outcome.value


def _shown(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(" ")
