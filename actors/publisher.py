"""The way in: an event becomes bytes, finds its routes, and is posted to the mailbox."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
import structlog
from uuid_utils import uuid7

from ..messages.codec import encode
from ..messages.contract import Kind
from ..messages.errors import (
    AmbiguousCommand,
    ManyRefused,
    PayloadConflict,
    PublishError,
    StaleRoutes,
    UnroutedEvent,
)
from ..messages.event import Event, check_key, contract_of, dedup_key_of
from ..messages.timing import read_after
from .mailbox.mailbox import Mailbox, Posting, Target, Verdict
from .routes import Routes

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.publisher")

When = str | float | datetime | timedelta
"""When an event is due: a wait or a moment; see `callboard.messages.timing.read_after`."""

CHUNK = 500
"""Events posted in one call."""

CHUNK_BYTES = 1_000_000
"""Bytes of bodies in one call, for a server does one thing at a time."""


class DeliveryReceipt(msgspec.Struct, frozen=True):
    """One delivery that a publish made, or found."""

    actor: str
    duplicate: bool
    """A delivery with the same key waits, runs, or was completed within its window."""


class Receipt(msgspec.Struct, frozen=True):
    """What became of a published event."""

    id: str
    """The event's id. A duplicate's event was accepted earlier, under another."""
    deliveries: tuple[DeliveryReceipt, ...]
    """One for each actor that subscribes, in the order of definition."""


class Prepared(msgspec.Struct, frozen=True):
    """An event checked and encoded, not yet routed."""

    id: str
    name: str
    kind: Kind
    body: bytes
    fingerprint: bytes
    key: str
    own_key: bool
    """The key is the event's id, made just now: nobody else can have used it."""
    delay_ms: int
    due_at: int
    required: bool


class Publisher:
    """Publishes the events of one app. Safe to use from many threads."""

    def __init__(self, source: str, routes: Routes, mailbox: Callable[[], Mailbox]) -> None:
        self._source = source
        self._routes = routes
        self._mailbox = mailbox

    def prepare(
        self,
        event: Event,
        *,
        after: When | None = None,
        dedup_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        required: bool = False,
    ) -> Prepared:
        """Check and encode an event; raises a `PublishError` or `InvalidAfter` that says what is wrong."""
        contract = contract_of(event)
        delay_ms = due_at = 0
        if after is not None:
            due = read_after(after)
            delay_ms, due_at = due.delay_ms, due.due_at
        key = dedup_key_of(event) if dedup_key is None else check_key(dedup_key)
        identity = str(uuid7())
        encoded = encode(
            event,
            id=identity,
            source=self._source,
            correlation_id=correlation_id,
            causation_id=causation_id,
            attributes=attributes,
        )
        return Prepared(
            identity,
            contract.name,
            contract.kind,
            encoded.body,
            encoded.fingerprint,
            identity if key is None else key,
            key is None,
            delay_ms,
            due_at,
            required,
        )

    def routed(self, prepared: Prepared) -> Posting:
        """The posting for all who subscribe; raises `UnroutedEvent` or `AmbiguousCommand`."""
        subscriptions = self._routes.of(prepared.name)
        if prepared.kind is Kind.COMMAND and len(subscriptions) > 1:
            names = ", ".join(each.actor for each in subscriptions)
            raise AmbiguousCommand(
                f"the command {prepared.name} is for exactly one actor, but {names} subscribe to it: "
                "remove all but one, or make it an Event"
            )
        if not subscriptions:
            self._unrouted(prepared)
        targets = tuple(
            Target(each.actor, each.queue, prepared.key, each.contracts[prepared.name])
            for each in subscriptions
        )
        return Posting(
            prepared.name,
            prepared.body,
            prepared.fingerprint,
            targets,
            prepared.delay_ms,
            prepared.due_at,
            prepared.own_key,
        )

    def publish(self, prepared: Prepared) -> Receipt:
        """Post one event; raises a `PublishError` when it is refused and a `MailboxError` when it may not be in."""
        result = self._post([prepared])[0]
        if isinstance(result, PublishError):
            raise result
        return result

    def publish_many(self, events: Iterable[Prepared | PublishError]) -> list[Receipt]:
        """Post events in chunks; all are tried before `ManyRefused` tells which were refused."""
        receipts: dict[int, Receipt] = {}
        refused: dict[int, PublishError] = {}
        for position, result in enumerate(self._results(events)):
            if isinstance(result, PublishError):
                refused[position] = result
            else:
                receipts[position] = result
        if refused:
            raise ManyRefused(receipts, refused)
        return list(receipts.values())

    def _results(self, events: Iterable[Prepared | PublishError]) -> Iterable[Receipt | PublishError]:
        chunk: list[Prepared | PublishError] = []
        size = 0
        for event in events:
            chunk.append(event)
            size += len(event.body) if isinstance(event, Prepared) else 0
            if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                yield from self._post(chunk)
                chunk, size = [], 0
        if chunk:
            yield from self._post(chunk)

    def _post(self, chunk: list[Prepared | PublishError] | list[Prepared]) -> list[Receipt | PublishError]:
        mailbox = self._mailbox()
        version = self._routes.version(mailbox)
        while True:
            results: list[Receipt | PublishError | None] = [None] * len(chunk)
            sent: list[tuple[int, Prepared, Posting]] = []
            for position, event in enumerate(chunk):
                try:
                    if isinstance(event, PublishError):
                        raise event
                    sent.append((position, event, self.routed(event)))
                except PublishError as error:
                    results[position] = error
            try:
                verdicts = mailbox.publish([posting for *_, posting in sent], version) if sent else []
            except StaleRoutes:
                self._routes.load(mailbox)
                version = self._routes.version(mailbox)
                continue
            for (position, event, posting), verdict in zip(sent, verdicts, strict=True):
                results[position] = _result(event, posting, verdict)
            return [result for result in results if result is not None]

    def _unrouted(self, prepared: Prepared) -> None:
        if prepared.required or prepared.kind is Kind.COMMAND:
            why = "a command" if prepared.kind is Kind.COMMAND else "published with required=True"
            raise UnroutedEvent(
                f"nobody subscribes to {prepared.name}, which is {why}: declare an actor for it, or start "
                "a worker that has one"
            )
        logger.warning("nobody subscribes", event_name=prepared.name, event_id=prepared.id)


def _result(event: Prepared, posting: Posting, verdicts: list[Verdict]) -> Receipt | PublishError:
    if Verdict.CONFLICT in verdicts:
        actors = ", ".join(
            target.actor
            for target, verdict in zip(posting.targets, verdicts, strict=True)
            if verdict is Verdict.CONFLICT
        )
        return PayloadConflict(
            f"{event.name}: its dedup key is known to {actors} with another body (payload_conflict): use "
            "another key for what is another event"
        )
    # A duplicate of a key made just now can only be this very call, whose first reply was lost.
    return Receipt(
        event.id,
        tuple(
            DeliveryReceipt(target.actor, verdict is Verdict.DUPLICATE and not event.own_key)
            for target, verdict in zip(posting.targets, verdicts, strict=True)
        ),
    )
