"""The way in: an event becomes bytes, finds its routes, and is posted to the mailbox."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypedDict

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
from .chunks import chunks, one_ahead
from .mailbox.mailbox import Mailbox, Posting, Subscription, Target, Verdict
from .prepared import Prepared
from .routes import Routes

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.publisher")

When = str | float | datetime | timedelta
"""When an event is due: a wait or a moment; see `callboard.messages.timing.read_after`."""


class PublishOptions(TypedDict, total=False):
    """What may be said of an event when it is published."""

    after: When | None
    dedup_key: str | None
    attributes: Mapping[str, str] | None
    correlation_id: str | None
    required: bool


class DeliveryReceipt(msgspec.Struct, frozen=True, gc=False):
    """One delivery that a publish made, or found."""

    actor: str
    duplicate: bool
    """A delivery with the same key waits, runs, or was completed within its window."""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What became of a published event."""

    id: str
    """The event's id. A duplicate's event was accepted earlier, under another."""
    deliveries: tuple[DeliveryReceipt, ...]
    """One for each actor that subscribes, in the order of definition."""


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
        targets = self._targets(prepared.name, prepared.key, subscriptions)
        return Posting(
            prepared.name,
            prepared.body,
            prepared.fingerprint,
            targets,
            prepared.delay_ms,
            prepared.due_at,
            prepared.key,
            self._routes.known_version,
            prepared.own_key,
        )

    def reroute(self, postings: Sequence[Posting]) -> tuple[Posting, ...]:
        """The same postings by the routes as the mailbox has them now."""
        self._routes.load(self._mailbox())
        return tuple(
            msgspec.structs.replace(
                posting,
                targets=self._targets(posting.event, posting.key, self._routes.of(posting.event)),
                routes_version=self._routes.known_version,
                fresh=False,
            )
            for posting in postings
        )

    def _targets(self, event: str, key: str, subscriptions: Sequence[Subscription]) -> tuple[Target, ...]:
        return tuple([Target(each.actor, each.queue, key, each.contracts[event]) for each in subscriptions])

    def publish(self, prepared: Prepared) -> Receipt:
        """Post one event; a `PublishError` says it was refused, a `MailboxError` that it may not be in."""
        result = self._post([prepared])[0]
        if isinstance(result, PublishError):
            raise result
        return result

    def publish_many(self, events: Iterable[Prepared | PublishError]) -> list[Receipt]:
        """Post events in chunks; all are tried before `ManyRefused` tells which were refused."""
        receipts: list[Receipt] = []
        refused: dict[int, PublishError] = {}
        accepted: list[int] = []
        for position, result in enumerate(one_ahead(self._post, chunks(events))):
            if isinstance(result, PublishError):
                refused[position] = result
            else:
                receipts.append(result)
                accepted.append(position)
        if refused:
            raise ManyRefused(dict(zip(accepted, receipts, strict=True)), refused)
        return receipts

    def _post(self, chunk: Sequence[Prepared | PublishError]) -> list[Receipt | PublishError]:
        mailbox = self._mailbox()
        version = self._routes.version(mailbox)
        while True:
            try:
                return self._try_to_post(chunk, mailbox, version)
            except StaleRoutes:
                self._routes.load(mailbox)
                version = self._routes.version(mailbox)

    def _try_to_post(
        self, chunk: Sequence[Prepared | PublishError], mailbox: Mailbox, version: int
    ) -> list[Receipt | PublishError]:
        results: list[Receipt | PublishError] = []
        sent: list[tuple[int, Prepared, Posting]] = []
        for position, event in enumerate(chunk):
            if isinstance(event, Prepared):
                try:
                    sent.append((position, event, self.routed(event)))
                except PublishError as error:
                    results.append(error)
                    continue
                results.append(_UNANSWERED)
            else:
                results.append(event)
        verdicts = mailbox.publish([posting for *_, posting in sent], version) if sent else []
        for (position, event, posting), verdict in zip(sent, verdicts, strict=True):
            results[position] = self._result(event, posting, verdict)
        return results

    def _result(
        self, event: Prepared, posting: Posting, verdicts: Sequence[Verdict]
    ) -> Receipt | PublishError:
        if Verdict.CONFLICT in verdicts:
            return _conflict(event, posting, verdicts)
        return Receipt(
            event.id,
            tuple(
                [
                    # A duplicate of a key made just now can only be this call, whose first reply was lost.
                    _delivery_receipt(target.actor, verdict is Verdict.DUPLICATE and not event.own_key)
                    for target, verdict in zip(posting.targets, verdicts, strict=True)
                ]
            ),
        )

    def _unrouted(self, prepared: Prepared) -> None:
        if prepared.required or prepared.kind is Kind.COMMAND:
            why = "a command" if prepared.kind is Kind.COMMAND else "published with required=True"
            raise UnroutedEvent(
                f"nobody subscribes to {prepared.name}, which is {why}: declare an actor for it, or start "
                "a worker that has one"
            )
        logger.warning("nobody subscribes", event_name=prepared.name, event_id=prepared.id)


_delivery_receipt = lru_cache(1024)(DeliveryReceipt)
"""Receipts are values, and there are few different ones."""

_UNANSWERED = Receipt("", ())


def _conflict(event: Prepared, posting: Posting, verdicts: Sequence[Verdict]) -> PayloadConflict:
    actors = ", ".join(
        target.actor
        for target, verdict in zip(posting.targets, verdicts, strict=True)
        if verdict is Verdict.CONFLICT
    )
    return PayloadConflict(
        f"{event.name}: its dedup key is known to {actors} with another body (payload_conflict): use "
        "another key for what is another event"
    )
