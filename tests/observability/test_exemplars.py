"""A bucket of a histogram names the trace of a value that is in it, where the trace was kept."""

import re

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from callboard import Callboard, Event, Retry, Tracing
from callboard.observability.cells import Book, Exemplar
from callboard.observability.exposition import exposition
from callboard.observability.metrics import AGE, PROCESSING
from callboard.observability.report import (
    Place,
    Report,
    Vitals,
    decode_report,
    encode_report,
    exemplars_of,
    histograms_of,
)
from tests.actors.rehearsal import new_app, work_off
from tests.observability.test_traces import Traces, id_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER_TRACE = "b7ad6b7169203331b7ad6b7169203331"


class Placed(Event, name="order.placed"):
    order_id: str


def traces_of(app: Callboard, metric: str) -> set[str]:
    """The traces that the buckets of a histogram name to whoever asks for OpenMetrics."""
    text = exposition(app.metrics.cells.total(), {}, "callboard", openmetrics=True).decode()
    assert f"{metric}_bucket" in text
    return set(re.findall(rf'^{metric}_bucket.* # {{trace_id="(\w+)"}} ', text, re.MULTILINE))


def declare(app: Callboard) -> None:
    @app.actor(retry=Retry.every("1 ms", max_attempts=2))
    def ship(event: Placed) -> None:
        if event.order_id == "bad":
            raise ConnectionError


@pytest.mark.parametrize("order", ["good", "bad"])
def test_an_attempt_s_trace_is_named_whatever_it_came_to(order: str) -> None:
    traces = Traces()
    app = new_app(tracing=Tracing(traces.provider))
    declare(app)
    app.publish(Placed(order))
    work_off(app)
    (kept,) = {trace.format_trace_id(id_of(span)[0]) for span in traces.named("process ship")}
    assert traces_of(app, "callboard_delivery_processing_seconds") == {kept}
    assert traces_of(app, "callboard_event_age_at_end_seconds") == {kept}


NOT_KEPT = Tracing(TracerProvider(sampler=ALWAYS_OFF))


@pytest.mark.parametrize("tracing", [None, NOT_KEPT], ids=["none", "not kept"])
def test_no_trace_is_named_that_cannot_be_looked_at(tracing: Tracing | None) -> None:
    app = new_app() if tracing is None else new_app(tracing=tracing)
    declare(app)
    app.publish(Placed("good"))
    work_off(app)
    assert traces_of(app, "callboard_delivery_processing_seconds") == set()


def test_a_bucket_keeps_its_latest() -> None:
    book, labels = Book(), ("orders", "ship")
    book.observe(PROCESSING, labels, [0.002, 0.003, 20.0])
    early, late = Exemplar(TRACE, 0.002, 1.0), Exemplar(OTHER_TRACE, 0.003, 2.0)
    slow = Exemplar(TRACE, 20.0, 1.5)
    for exemplar in (late, early, slow):
        book.show(PROCESSING, labels, exemplar)
    again = Book()
    again.show(PROCESSING, labels, early)
    again.merge(book)
    for each in (book, again):
        ((_, _, tally),) = each.tallies()
        assert sorted(tally.exemplars.values()) == [slow, late]


def test_they_come_through_a_report_and_strange_ones_do_not() -> None:
    book = Book()
    book.observe(AGE, ("order.placed",), [0.5])
    book.show(AGE, ("order.placed",), Exemplar(TRACE, 0.5, 1.0))
    shown = exemplars_of(book) | {"of_no_metric": [(("a",), {0: Exemplar(TRACE, 1, 1)})]}
    shown[AGE.name].append((("other.event",), {0: Exemplar(TRACE, 1, 1)}))
    shown[AGE.name][0][1][99] = Exemplar(TRACE, 1, 1)
    report = Report("w", 1, Place("", True, ""), Vitals(), False, {}, histograms_of(book), shown)
    ((name, labels, tally),) = decode_report(encode_report(report)).book().tallies()
    assert (name, labels) == (AGE.name, ("order.placed",))
    assert list(tally.exemplars.values()) == [Exemplar(TRACE, 0.5, 1.0)]


def test_a_report_of_a_worker_that_knows_none_is_read() -> None:
    report = Report("w", 1, Place("", True, ""), Vitals())
    assert decode_report(msgspec.msgpack.encode(msgspec.to_builtins(report)[:7])).exemplars == {}
