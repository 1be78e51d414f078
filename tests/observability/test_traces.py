"""Events and attempts are spans of one trace, from publisher to handler and on, and tell no body."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Annotated

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from callboard import Batch, Callboard, Context, Event, RejectEvent, Retry, Sensitive, Stack, Tracing
from callboard.messages.codec import decode_envelope
from callboard.messages.errors import MailboxUnavailable, PayloadConflict, PayloadTooLarge
from callboard.observability.logs import add_attempt
from tests.actors.rehearsal import AT_ONCE, new_app, post, until, work_off

SECRET = "pl4nted-in-a-body"  # noqa: S105 - planted, to be looked for


class Placed(Event, name="order.placed"):
    order_id: str
    card: Annotated[str, Sensitive] = SECRET


class Shipped(Event, name="order.shipped"):
    order_id: str


class Traces:
    """A tracer provider, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def traces() -> Traces:
    return Traces()


def app_with(traces: Traces, *, link: bool = False) -> Callboard:
    return new_app(tracing=Tracing(traces.provider, link=link))


def id_of(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def parent_of(span: ReadableSpan) -> tuple[int, int] | None:
    return (span.parent.trace_id, span.parent.span_id) if span.parent else None


def about(span: ReadableSpan, *names: str) -> tuple[object, ...]:
    assert span.attributes is not None
    return tuple(span.attributes.get(name) for name in names)


def declare(app: Callboard, is_async: bool, handle: Callable[[Placed, Context], None]) -> None:
    """An actor `ship` that does so, as `def` or as `async def`."""
    if is_async:

        async def ship(event: Placed, ctx: Context) -> None:
            await asyncio.sleep(0)
            handle(event, ctx)

        app.actor(retry=AT_ONCE)(ship)
    else:

        def ship_now(event: Placed, ctx: Context) -> None:
            handle(event, ctx)

        app.actor(name="ship", retry=AT_ONCE)(ship_now)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_trace_goes_from_publisher_to_handler_and_on(traces: Traces, is_async: bool) -> None:
    app = app_with(traces)
    seen: list[str | None] = []

    def handle(event: Placed, ctx: Context) -> None:
        with traces.provider.get_tracer("shop").start_as_current_span("the handler's own"):
            ctx.publish(Shipped(event.order_id))
        seen.append(add_attempt(None, "info", {})["trace_id"])  # what any line of a log carries here

    declare(app, is_async, handle)

    @app.actor
    def thank(event: Shipped) -> None: ...

    with traces.provider.get_tracer("shop").start_as_current_span("request"):
        receipt = app.publish(Placed("A-1"))
    work_off(app)
    path = ["request", "publish order.placed", "process ship", "the handler's own", "publish order.shipped"]
    path.append("process thank")
    spans = [traces.one(name) for name in path]
    assert [parent_of(span) for span in spans] == [None, *(id_of(span) for span in spans[:-1])]
    assert len({id_of(span)[0] for span in spans}) == 1
    published, processed = spans[1], spans[2]
    assert (published.kind, processed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    names = ["messaging.system", "messaging.operation.name", "messaging.operation.type"]
    names += ["messaging.destination.name", "messaging.message.id", "messaging.message.conversation_id"]
    told = ("callboard", "publish", "send", "order.placed", receipt.id, receipt.id)
    assert about(published, *names) == told
    assert about(processed, *names) == ("callboard", "process", "process", "default", receipt.id, receipt.id)
    names = ["callboard.actor", "callboard.event", "callboard.attempt", "callboard.outcome"]
    assert about(processed, *names) == ("ship", "order.placed", 1, "succeeded")
    assert processed.status.status_code is StatusCode.UNSET
    assert seen == [trace.format_trace_id(id_of(processed)[0])]


def test_the_context_is_w3c_and_in_the_envelope(traces: Traces) -> None:
    app = app_with(traces)
    envelope = decode_envelope(app.publisher.prepare(Placed("A-1")).body)
    assert envelope.traceparent is not None
    version, trace_id, span_id, flags = envelope.traceparent.split("-")
    assert (version, len(trace_id), len(span_id), flags) == ("00", 32, 16, flags)
    assert int(flags, 16) & 1, "it is sampled"


@pytest.mark.parametrize("is_async", [False, True])
def test_each_attempt_is_a_span_with_its_outcome(traces: Traces, is_async: bool) -> None:
    app = app_with(traces)

    def handle(event: Placed, ctx: Context) -> None:
        if ctx.attempt < 3:
            raise ValueError(f"no such card {event.card} of {event.order_id}")
        raise RejectEvent("unwanted")

    declare(app, is_async, handle)
    app.publish(Placed("A-17"))
    work_off(app)
    spans = traces.named("process ship")
    names = ("callboard.attempt", "callboard.outcome", "callboard.reason", "error.type")
    assert [about(span, *names) for span in spans] == [
        (1, "retried", None, "ValueError"),
        (2, "retried", None, "ValueError"),
        (3, "dead", "rejected", "rejected"),
    ]
    assert {span.status.status_code for span in spans} == {StatusCode.ERROR}
    (event,) = spans[0].events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "ValueError"
    assert f"{__file__}:" in str(event.attributes["exception.stacktrace"])
    everything = "".join(span.to_json() for span in traces.spans)
    assert SECRET not in everything
    assert "A-17" not in everything


def test_with_links_each_attempt_begins_a_trace_of_its_own(traces: Traces) -> None:
    app = app_with(traces, link=True)

    @app.actor
    def ship(event: Placed) -> None: ...

    app.publish(Placed("A-1"))
    work_off(app)
    published, processed = traces.one("publish order.placed"), traces.one("process ship")
    assert parent_of(processed) is None
    assert id_of(processed)[0] != id_of(published)[0]
    assert [(each.context.trace_id, each.context.span_id) for each in processed.links] == [id_of(published)]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_of_a_batch_handler_is_one_span_with_links(traces: Traces, is_async: bool) -> None:
    app = app_with(traces)
    current: list[int] = []

    def note(events: list[Placed]) -> None:
        current.append(trace.get_current_span().get_span_context().span_id)
        if any(event.order_id == "B" for event in events):
            raise ValueError("B")

    if is_async:

        @app.actor(name="ship", batch=Batch(size=2, wait="20s"), retry=Retry.never())
        async def aship(events: list[Placed]) -> None:
            note(events)

    else:

        @app.actor(name="ship", batch=Batch(size=2, wait="20s"), retry=Retry.never())
        def ship(events: list[Placed]) -> None:
            note(events)

    app.publish_many([Placed("A"), Placed("B")])
    work_off(app)
    published = {id_of(span) for span in traces.named("publish order.placed")}
    assert len(published) == 2
    spans = traces.named("process ship")
    assert [about(span, "messaging.batch.message_count")[0] for span in spans] == [2, 1, 1]
    assert {(link.context.trace_id, link.context.span_id) for link in spans[0].links} == published
    assert [id_of(span)[1] for span in spans] == current
    assert [span.status.is_ok for span in spans] == [False, True, False]


def test_a_publish_that_is_refused_is_an_error_of_its_span(traces: Traces) -> None:
    app = app_with(traces)

    @app.actor
    def ship(event: Placed) -> None: ...

    with pytest.raises(PayloadTooLarge):
        app.publish(Placed("x" * 300_000))
    app.publish(Placed("A"), dedup_key="k")
    with pytest.raises(PayloadConflict):
        app.publish(Placed("B"), dedup_key="k")
    app.mailbox.close()
    with pytest.raises(MailboxUnavailable):
        app.publish(Placed("C"))
    told = [about(span, "error.type")[0] for span in traces.named("publish order.placed")]
    assert told == ["PayloadTooLarge", None, "PayloadConflict", "MailboxUnavailable"]


def test_a_handler_that_will_not_end_has_its_span_ended_in_its_place(traces: Traces) -> None:
    app = app_with(traces)
    release = threading.Event()

    @app.actor(timeout="50ms", retry=Retry.never())
    def ship(event: Placed) -> None:
        while not release.is_set():
            with contextlib.suppress(BaseException):
                release.wait(10)

    app.publish(Placed("A"))
    timer = threading.Timer(8, release.set)
    timer.start()
    try:
        work_off(app)
    finally:
        release.set()
        timer.cancel()
    until(lambda: traces.named("process ship"), "the span")
    assert about(traces.one("process ship"), "callboard.outcome", "error.type") == ("dead", "HandlerTimeout")


def test_an_unreadable_body_is_a_span_without_an_origin(traces: Traces) -> None:
    app = app_with(traces)

    @app.actor
    def ship(event: Placed) -> None: ...

    post(app, b"{", "ship", "order.placed")
    work_off(app)
    span = traces.one("process ship")
    assert parent_of(span) is None
    assert about(span, "callboard.outcome", "callboard.reason") == ("dead", "invalid_body")


def test_a_plain_message_carries_its_trace_over_any_broker(traces: Traces) -> None:
    broker = StubBroker(middleware=[])
    broker.add_middleware(Stack(timeout="5s", retry=AT_ONCE, tracing=Tracing(traces.provider)))
    attempts: list[int] = []

    @dramatiq.actor(broker=broker)
    def mail(to: str) -> None:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            raise ValueError(to)

    worker = dramatiq.Worker(broker, worker_timeout=20)
    worker.start()
    try:
        with traces.provider.get_tracer("shop").start_as_current_span("request"):
            message = mail.send("ann@example.org")
        until(lambda: len(traces.named("process mail")) == 2, "both attempts")
    finally:
        worker.stop()
    published = traces.one("publish mail")
    first, second = traces.named("process mail")
    assert parent_of(published) == id_of(traces.one("request"))
    assert parent_of(first) == parent_of(second) == id_of(published)
    assert about(first, "messaging.message.id", "callboard.outcome") == (message.message_id, "retried")
    assert about(second, "callboard.attempt", "callboard.outcome") == (2, "succeeded")
    assert "ann@example.org" not in "".join(span.to_json() for span in traces.spans)


LATE = """
import json, sys
from callboard import Callboard, Event, MemoryMailbox
from callboard.testing import Stage

class Placed(Event, name="order.placed"):
    order_id: str

app = Callboard("shop", mailbox=MemoryMailbox())

@app.actor
def ship(event: Placed) -> None: ...

with Stage(app) as stage:
    app.publish(Placed("A"))
    stage.run()
loaded = "callboard.observability.spans" in sys.modules
from opentelemetry import trace
with Stage(app) as stage:
    app.publish(Placed("B"))
    stage.run()
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with Stage(app) as stage:
    app.publish(Placed("C"))
    stage.run()
print(json.dumps([loaded, [span.name for span in exporter.get_finished_spans()]]))
"""


def test_traces_begin_when_the_program_configures_them_and_nothing_is_imported_before() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, ["publish order.placed", "process ship"]]
