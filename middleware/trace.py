"""The span around an attempt, its layers and its handler: begun and ended by who drives them.

It is no layer: where traces are not configured it costs one `if`, and what it makes current has to be so on
the thread or in the task of the handler.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..messages.codec import decode_envelope
from ..messages.delivery import RELEASED, Outcome, OutcomeKind
from ..messages.envelope import Envelope
from ..messages.errors import UnreadableBody

if TYPE_CHECKING:
    from ..observability.spans import Attributes, Spans
    from .attempt import Attempt


@contextmanager
def traced(spans: "Spans", attempt: "Attempt") -> Iterator[None]:
    """Run one attempt in a span; `end_own` tells what it came to."""
    envelope = _envelope_of(attempt)
    traceparent = attempt.traceparent if envelope is None else envelope.traceparent
    delivery = attempt.delivery
    with spans.process(
        attempt.policy.actor, delivery.queue, _attributes(attempt, envelope), [traceparent]
    ) as attempt.span:
        try:
            yield
        finally:
            end_own(attempt, RELEASED)


@contextmanager
def traced_batch(spans: "Spans", together: "Attempt") -> Iterator[None]:
    """Run one call of a batch handler in a span that is linked to where its events were published."""
    members: Sequence[Attempt] = together.members
    traceparents = [member.envelope.traceparent for member in members]
    attributes = {"messaging.batch.message_count": len(members)}
    queue = together.delivery.queue
    with spans.process(together.policy.actor, queue, attributes, traceparents, link=True) as span:
        together.span = span
        for member in members:
            member.span = span
        try:
            yield
        finally:
            end_own(together, RELEASED)


def end_own(attempt: "Attempt", outcome: Outcome) -> None:
    """The same by the handler's own thread or task, which has no say in what was given up."""
    if not attempt.given_up:
        end_span(attempt, outcome)


def end_span(attempt: "Attempt", outcome: Outcome) -> None:
    """Tell what an attempt came to, if it has a span that was not told yet."""
    if attempt.span is None:
        return
    attributes: Attributes = {
        "callboard.outcome": outcome.kind.value,
        "callboard.reason": outcome.reason.value if outcome.reason else None,
    }
    failed = outcome.kind in (OutcomeKind.RETRIED, OutcomeKind.DEAD)
    kind = outcome.error.type if outcome.error else str(outcome.reason or outcome.kind)
    attempt.span.end(attributes, kind if failed else None, attempt.exception)


def _envelope_of(attempt: "Attempt") -> Envelope | None:
    """The envelope, before the layer that decodes; what cannot be read is for that layer to say."""
    if not attempt.policy.contracts:
        return None
    try:
        return decode_envelope(attempt.delivery.body)
    except UnreadableBody:
        return None


def _attributes(attempt: "Attempt", envelope: Envelope | None) -> "Attributes":
    delivery = attempt.delivery
    about: Attributes = {"callboard.attempt": delivery.attempt}
    if envelope is None:
        return {**about, "messaging.message.id": None if attempt.policy.contracts else delivery.key}
    return {
        **about,
        "callboard.event": envelope.type,
        "messaging.message.id": envelope.id,
        "messaging.message.conversation_id": envelope.correlationid or envelope.id,
        "messaging.message.body.size": len(envelope.data),
    }
