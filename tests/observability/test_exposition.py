"""What is scraped is what Prometheus understands, says the same as prometheus_client would, and is cheap."""

import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from callboard.observability.cells import Book, Exemplar
from callboard.observability.collector import values_of
from callboard.observability.exposition import exposition, wants_openmetrics
from callboard.observability.families import BookCollector
from callboard.observability.metrics import (
    AGE,
    ATTEMPTS,
    BUILD,
    ENDED,
    INSTRUMENTS,
    LAST_SUCCESS,
    PROCESSING,
    SETTLED,
    STUCK,
    WAIT,
    Kind,
)
from callboard.observability.state import MailboxState, QueueState, ServerMemory
from tests.programs import needed

HOSTILE = 'a"b\\c\nd{e},f=" # EOF'


def full_book() -> Book:
    """Something of everything that is recorded, hostile labels among it."""
    book = Book()
    for instrument in INSTRUMENTS:
        for name in ("plain", HOSTILE):
            labels = tuple(f"{name} {label}" for label in instrument.labels)
            if instrument.kind is Kind.COUNTER:
                book.add(instrument, labels, 3)
            elif instrument.kind is Kind.HISTOGRAM:
                book.observe(instrument, labels, [0.0001, 0.3, 1e6])
                book.show(instrument, labels, Exemplar("0af7651916cd43dd8448eb211c80319c", 0.3, 1.7e9))
                book.show(instrument, labels, Exemplar("b7ad6b7169203331b7ad6b7169203331", 1e6, 1.7e9))
    return book


def states() -> dict[str, Any]:
    """What is looked at and not recorded."""
    queue = QueueState(HOSTILE, 1, 2, 3, 4, 5, 6789, 1011, 12, 1, 13, 14)
    gauges = values_of(MailboxState("valkey 9", (queue,), ServerMemory(7, 8)))
    return gauges | {
        BUILD.name: {("1", "2", HOSTILE): 1},
        LAST_SUCCESS.name: {(): 1.7e9},
        STUCK.name: {(): 0},
    }


Families = dict[tuple[str, str, str], list[tuple[Any, ...]]]


def shown(exemplar: Any) -> tuple[Any, ...]:
    """What an exemplar says; nothing if there is none."""
    if exemplar is None:
        return ()
    return exemplar.labels["trace_id"], exemplar.value, float(exemplar.timestamp)


def told(read: Callable[[str], Iterable[Metric]], text: bytes) -> Families:
    """What a text says, whatever the order."""
    return {
        (family.name, family.type, family.documentation): sorted(
            (sample.name, tuple(sorted(sample.labels.items())), sample.value, shown(sample.exemplar))
            for sample in family.samples
        )
        for family in read(text.decode())
    }


@pytest.mark.parametrize("openmetrics", [False, True])
def test_it_says_what_prometheus_client_would_say(openmetrics: bool) -> None:
    book, registry = full_book(), CollectorRegistry()
    registry.register(BookCollector(lambda: book, "callboard"))
    ours = exposition(book, {}, "callboard", openmetrics=openmetrics)
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0" if openmetrics else "")
    theirs = encode(registry)
    read = read_openmetrics if openmetrics else read_text
    assert told(read, ours) == told(read, theirs)
    assert len(told(read, ours)) > 15
    assert (b"# {trace_id=" in ours) == openmetrics


@pytest.mark.parametrize("openmetrics", [False, True])
def test_gauges_and_infos_can_be_read(openmetrics: bool) -> None:
    text = exposition(Book(), states(), "callboard", openmetrics=openmetrics)
    read = read_openmetrics if openmetrics else read_text
    families = {family.name.removesuffix("_info"): family for family in read(text.decode())}
    (ready, *_) = families["callboard_queue_deliveries"].samples
    assert ready.labels == {"queue": HOSTILE, "state": "ready"}
    assert families["callboard_build"].samples[0].labels["server"] == HOSTILE
    assert families["callboard_queue_oldest_ready_age_seconds"].samples[0].value == 6.789


def test_promtool_has_nothing_to_say_against_it() -> None:
    text = exposition(full_book(), states(), "callboard", openmetrics=False)
    names = {f"callboard_{each.name}" for each in INSTRUMENTS}
    assert all(name.encode() in text for name in names if "worker_threads" not in name)
    checked = subprocess.run(
        [needed("promtool", "prometheus"), "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_promtool_would_see_a_metric_that_is_named_badly() -> None:
    checked = subprocess.run(
        [needed("promtool", "prometheus"), "check", "metrics"],
        input=b"# HELP bad_ms Time.\n# TYPE bad_ms counter\nbad_ms 1\n",
        capture_output=True,
        check=False,
    )
    assert checked.returncode != 0


def test_only_who_asks_for_openmetrics_gets_it() -> None:
    prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    assert wants_openmetrics(prometheus)
    assert not wants_openmetrics("text/html,*/*")
    assert not wants_openmetrics("")


def large_book(queues: int, events: int) -> Book:
    """What a large pool has recorded."""
    book = Book()
    for queue in (f"queue-{number}" for number in range(queues)):
        actor = f"actor of {queue}"
        for event in (f"event.number{number}" for number in range(events)):
            for outcome in ("succeeded", "retried", "dead"):
                book.add(SETTLED, (queue, actor, event, outcome), 1000)
            book.add(ENDED, (queue, actor, event, "succeeded", ""), 1000)
            book.add(ENDED, (queue, actor, event, "dead", "max_attempts"), 1000)
            book.observe(AGE, (event,), [1.0])
        book.observe(PROCESSING, (queue, actor), [0.1])
        book.observe(WAIT, (queue,), [0.1])
        book.observe(ATTEMPTS, (actor,), [1.0])
    return book


@pytest.mark.parametrize("openmetrics", [False, True])
def test_ten_queues_with_fifty_events_each_are_written_in_a_few_milliseconds(openmetrics: bool) -> None:
    book = large_book(10, 50)
    took: list[float] = []
    text = b""
    for _ in range(5):
        began = time.process_time()
        text = exposition(book, {}, "callboard", openmetrics=openmetrics)
        took.append(time.process_time() - began)
    assert text.count(b"\n") > 3500
    assert min(took) < 0.025
