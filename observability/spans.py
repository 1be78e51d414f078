"""Spans of OpenTelemetry: `publish` where an event begins its way, `process` where an actor handles it.

Attributes are those of the semantic conventions for messaging, and `callboard.` for what these have no word
for. Errors are told by their class and where they came from: what they say may repeat a body.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from .tracebacks import where

SYSTEM = "callboard"

Attributes = Mapping[str, AttributeValue | None]
"""Those that are None are left out."""

_w3c = TraceContextTextMapPropagator()


class Publishing:
    """The span of one event on its way into the mailbox."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        """What its envelope carries, W3C Trace Context; None where the trace is not valid."""
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get("traceparent")

    def end(self, error: BaseException | None = None) -> None:
        """It has been posted, or has not."""
        if error is not None:
            _tell_error(self._span, type(error).__name__, error)
        self._span.end()


class Processing:
    """The span of one call of a handler; what it came to is told once, by whoever knows first."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._ended = False

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits; None where the trace is not valid."""
        told = self._span.get_span_context()
        return trace.format_trace_id(told.trace_id) if told.is_valid else None

    @property
    def kept_trace_id(self) -> str | None:
        """The same, of a trace that was sampled: there will be something to look at."""
        return self.trace_id if self._span.get_span_context().trace_flags.sampled else None

    def end(self, attributes: Attributes, failed_with: str | None, error: BaseException | None) -> None:
        """Tell what it came to; with `failed_with`, the class of an error, it has failed."""
        if self._ended:
            return
        self._ended = True
        self._span.set_attributes(_given(attributes))
        if failed_with is not None:
            _tell_error(self._span, failed_with, error)
        self._span.end()


class Spans:
    """Begins spans. Safe to use from many threads and tasks."""

    def __init__(self, tracer: Tracer, *, link: bool) -> None:
        self._tracer = tracer
        self._link = link

    def publish(self, name: str, attributes: Attributes) -> Publishing:
        """Begin `publish <name>`, a child of what is going on here."""
        about = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": name,
        }
        given = _given({**about, **attributes})
        return Publishing(
            self._tracer.start_span(f"publish {name}", kind=SpanKind.PRODUCER, attributes=given)
        )

    @contextmanager
    def process(
        self,
        actor: str,
        queue: str,
        attributes: Attributes,
        traceparents: Sequence[str | None],
        *,
        link: bool = False,
    ) -> Iterator[Processing]:
        """Run `process <actor>`: what goes on within is part of it.

        It is a child of the one traceparent, or with `link` linked to each; what is None is left out.
        """
        about = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
            "callboard.actor": actor,
        }
        parent, links = self._origins([each for each in traceparents if each], link=link or self._link)
        span = self._tracer.start_span(
            f"process {actor}",
            parent,
            kind=SpanKind.CONSUMER,
            attributes=_given({**about, **attributes}),
            links=links,
        )
        processing = Processing(span)
        token = context.attach(trace.set_span_in_context(span))
        try:
            yield processing
        finally:
            context.detach(token)

    @staticmethod
    def _origins(traceparents: Sequence[str], *, link: bool) -> tuple[Context, list[Link]]:
        published = [_w3c.extract({"traceparent": each}, Context()) for each in traceparents]
        if published and not link:
            return published[0], []
        spans = [trace.get_current_span(each).get_span_context() for each in published]
        return Context(), [Link(each) for each in spans if each.is_valid]


def _given(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _tell_error(span: Span, kind: str, error: BaseException | None) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
    about = {"exception.type": kind}
    if error is not None:
        about["exception.stacktrace"] = "\n".join(where(error))
    span.add_event("exception", about)
