"""The way in: an event becomes bytes, finds its routes, and is posted to the mailbox."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Unpack

from uuid_utils import uuid7

from ..messages.codec import Encoded, encode
from ..messages.delivery import Clock
from ..messages.errors import (
    InvalidKey,
    ManyRefused,
    PublishError,
    StaleRoutes,
)
from ..messages.event import Event, check_key, contract_of, dedup_key_of
from ..messages.event_options import EventOptions, OptionsGiven, read_options
from ..messages.timing import After, read_after
from ..observability.recorder import Recorder
from ..observability.traces import Tracing
from .chunks import chunks, one_ahead
from .mailbox.correlations import CameOf
from .mailbox.mailbox import Mailbox, Posting
from .prepared import Prepared
from .publish_options import KeyOf, When
from .receipt import Receipt, check_refusals, counted, result_of
from .routes import Routes, RouteTable
from .routing import rerouted, routed
from .tracing import begin_span, spans_of

if TYPE_CHECKING:
    from ..observability.spans import Publishing

_AT_ONCE = After()
_NONE: AbstractSet[int] = frozenset()
_UNANSWERED = Receipt("", ())


class Publisher:
    """Publishes the events of one app. Safe to use from many threads."""

    def __init__(
        self,
        source: str,
        routes: Routes,
        mailbox: Callable[[], Mailbox],
        tracing: Tracing | None = None,
        recorder: Recorder | None = None,
        *,
        longest_timeout: float,
    ) -> None:
        self.tracing = tracing or Tracing()
        self._source = source
        self._recorder = recorder
        self.longest_timeout = longest_timeout
        """Seconds that no timeout of an event may exceed."""
        self._routes = routes
        self._mailbox = mailbox
        self.clock: Clock | None = None
        """Tells the time in place of this machine's clock."""
        self.watch: Callable[[str, Event], None] | None = None
        """Told the id and the event of all that is prepared."""

    def prepare(
        self,
        event: Event,
        *,
        after: When | After | None = None,
        dedup_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        cause_name: str = "",
        required: bool = False,
        options: EventOptions | None = None,
        **given: Unpack[OptionsGiven],
    ) -> Prepared:
        """Check and encode an event; raises a `PublishError` that says what is wrong.

        `options` are what is `given` of its attempts, if that was read already.
        """
        if given:
            options = read_options(given, self.longest_timeout)
        contract = contract_of(event)
        due = after if isinstance(after, After) else self.when(after)
        key = dedup_key_of(event) if dedup_key is None else check_key(dedup_key)
        identity = str(uuid7())
        spans = self.tracing.spans()
        span = None if spans is None else begin_span(spans, contract.name, identity, correlation_id)
        encoded = self._encode(
            event,
            identity,
            correlation_id,
            causation_id,
            attributes=attributes,
            options=options,
            span=span,
        )
        if self.watch is not None:
            self.watch(identity, event)
        return Prepared(
            identity,
            contract.name,
            contract.kind,
            encoded.body,
            encoded.fingerprint,
            identity if key is None else key,
            key is None,
            due.delay_ms,
            due.due_at,
            required,
            encoded.entity or "",
            dedup_key is not None,
            CameOf(identity, correlation_id, causation_id or "", cause_name) if correlation_id else None,
            span,
        )

    def _encode(
        self,
        event: Event,
        identity: str,
        correlation_id: str | None,
        causation_id: str | None,
        *,
        attributes: Mapping[str, str] | None,
        options: EventOptions | None,
        span: "Publishing | None",
    ) -> Encoded:
        try:
            return encode(
                event,
                id=identity,
                source=self._source,
                time=None if self.clock is None else self._now(),
                correlation_id=correlation_id,
                causation_id=causation_id,
                attributes=attributes,
                options=options,
                traceparent=None if span is None else span.traceparent,
            )
        except PublishError as error:
            if span is not None:
                span.end(error)
            raise

    def prepare_many(
        self,
        events: Iterable[Event],
        *,
        after: When | After | None = None,
        dedup_key: KeyOf | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        required: bool = False,
        options: EventOptions | None = None,
        **given: Unpack[OptionsGiven],
    ) -> Iterator[Prepared | PublishError]:
        """Check and encode events one by one, each that is refused without harm to the others.

        `after` and what is `given` of their attempts are read once, before the first: a moment may pass
        while the later ones are on their way. Raises `InvalidAfter` and `InvalidOption`.
        """
        prepare = partial(
            self.prepare,
            after=after if isinstance(after, After) else self.when(after),
            attributes=attributes,
            correlation_id=correlation_id,
            required=required,
            options=read_options(given, self.longest_timeout) if given else options,
        )
        return _prepared(prepare, events, dedup_key)

    def when(self, after: When | None) -> After:
        """When an event is due that is published now; raises `InvalidAfter`."""
        return _AT_ONCE if after is None else read_after(after, now=self._now())

    def _now(self) -> datetime | None:
        return None if self.clock is None else datetime.fromtimestamp(self.clock.now() / 1000, UTC)

    def routed(self, prepared: Prepared) -> Posting:
        """The posting for all who subscribe; raises `UnroutedEvent` or `AmbiguousCommand`."""
        return routed(prepared, self._routes.table)

    def reroute(self, postings: Sequence[Posting]) -> tuple[Posting, ...]:
        """The same postings by the routes as the mailbox has them now."""
        self._routes.load(self._mailbox())
        routes = self._routes.table
        return tuple(rerouted(posting, routes) for posting in postings)

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
        if self.tracing.spans() is None:
            return self._posted(chunk)
        with spans_of(chunk) as told:
            return told(self._posted(chunk))

    def _posted(self, chunk: Sequence[Prepared | PublishError]) -> list[Receipt | PublishError]:
        mailbox = self._mailbox()
        may_be_stored: AbstractSet[int] = _NONE
        while True:
            routes = self._routes.loaded(mailbox)
            results, sent = _route(chunk, routes, may_be_stored)
            try:
                verdicts = mailbox.publish([posting for *_, posting in sent], routes.version) if sent else []
            except StaleRoutes as stale:
                if stale.sent_before:
                    may_be_stored = may_be_stored | {position for position, *_ in sent}
                self._routes.load(mailbox)
                continue
            for (position, event, posting), verdict in zip(sent, verdicts, strict=True):
                results[position] = result_of(event, posting, verdict)
            if self._recorder is not None:
                self._recorder.published(counted(results, sent))
            if may_be_stored:
                check_refusals(results, may_be_stored)
            return results


def _route(
    chunk: Sequence[Prepared | PublishError], routes: RouteTable, may_be_stored: AbstractSet[int]
) -> tuple[list[Receipt | PublishError], list[tuple[int, Prepared, Posting]]]:
    """Room for the result of each event with the refusals in it, and by position what is to be sent."""
    results: list[Receipt | PublishError] = []
    sent: list[tuple[int, Prepared, Posting]] = []
    for position, event in enumerate(chunk):
        if isinstance(event, PublishError):
            results.append(event)
            continue
        try:
            posting = routed(event, routes, sent_before=position in may_be_stored)
        except PublishError as error:
            results.append(error)
        else:
            results.append(_UNANSWERED)
            sent.append((position, event, posting))
    return results, sent


def _prepared(
    prepare: Callable[..., Prepared], events: Iterable[Event], dedup_key: KeyOf | None
) -> Iterator[Prepared | PublishError]:
    for event in events:
        try:
            yield prepare(event, dedup_key=None if dedup_key is None else _key_by(dedup_key, event))
        except PublishError as error:
            yield error


def _key_by(make: KeyOf, event: Event) -> str | None:
    """The key that a publisher's function makes of an event; raises `InvalidKey` if it fails."""
    try:
        return make(event)
    except PublishError:
        raise
    except Exception as error:
        raise InvalidKey(
            f"dedup_key raised {type(error).__name__} for this event: let it answer a key for every event, "
            "or None"
        ) from error
