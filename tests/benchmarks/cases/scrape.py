"""How long a scrape takes over HTTP when a thousand worker processes have come and gone."""

import os
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callboard.observability.cells import Book
from callboard.observability.exporter import Exporter
from callboard.observability.exposition import OPENMETRICS
from callboard.observability.metrics import AGE, ATTEMPTS, ENDED, PROCESSING, SETTLED, WAIT
from callboard.observability.recorder import NAMESPACE
from callboard.observability.rendezvous import open_socket
from callboard.observability.report import (
    Place,
    Report,
    Vitals,
    counters_of,
    encode_report,
    histograms_of,
    parts_of,
)
from callboard.observability.state import MailboxState, QueueState

from ..figures import Row, milliseconds, percentile
from ..plan import Plan

GOAL_MS = 50.0
QUEUES = 10
EVENTS = 50
"""Of each queue."""

PLACE = Place("127.0.0.1:0", is_default=False, workspace="bench")
NOBODY = 2**22 + 1
"""A process id beyond those that Linux gives."""

PATIENCE = 60.0
"""Seconds for the exporter to answer."""


class Mailbox:
    """As many queues as report; it costs nothing to ask."""

    def read(self) -> MailboxState:
        """Their state."""
        return MailboxState("none", tuple(QueueState(f"queue-{number}") for number in range(QUEUES)))

    def close(self) -> None:
        """Nothing is held."""


def run(plan: Plan) -> list[Row]:
    """What is read is also what was counted, so nothing has been dropped on the way."""
    restarts = plan.pick(short=100, full=1000)
    with tempfile.TemporaryDirectory(prefix="callboard-") as directory:
        path = Path(directory) / "s"
        with _exporter(path) as address:
            _report_restarts(path, restarts)
            body = _body_with(address, restarts * QUEUES * EVENTS)
            took = [_scrape(address)[0] for _ in range(plan.pick(short=10, full=100))]
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    lines = body.count(b"\n")
    what = f"a scrape of {lines:,} lines over HTTP, after {restarts:,} restarts"
    goal = f"<= {GOAL_MS:g} ms"
    return [
        Row("scrape", f"{what}, p50", milliseconds(p50), samples={"s": took}),
        Row("scrape", f"{what}, p99", milliseconds(p99), goal, p99 * 1000 <= GOAL_MS),
    ]


@contextmanager
def _exporter(path: Path) -> Iterator[str]:
    """An exporter at work in this process; its address."""
    reports, lives = open_socket(path), threading.Event()
    lives.set()
    exporter = Exporter(reports, open_source=lambda _: Mailbox(), pool_lives=lives.is_set)
    thread = threading.Thread(target=exporter.run)
    thread.start()
    try:
        _send(path, Report("w", os.getpid(), PLACE, Vitals(8)))
        yield _address_of(exporter)
    finally:
        lives.clear()
        thread.join()
        reports.close()


def _address_of(exporter: Exporter) -> str:
    give_up_at = time.monotonic() + PATIENCE
    while (address := exporter.address) is None and time.monotonic() < give_up_at:
        time.sleep(0.01)
    if address is None:
        raise RuntimeError("the exporter does not listen")
    return address


def _report_restarts(path: Path, restarts: int) -> None:
    """Processes that are killed say no goodbye; their process id is one that no process has."""
    book = _book()
    for restart in range(restarts):
        for part in parts_of(book):
            report = Report(
                f"w-{restart}", NOBODY, PLACE, Vitals(8), False, counters_of(part), histograms_of(part)
            )
            _send(path, report)


def _send(path: Path, report: Report) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(encode_report(report), str(path))


def _book() -> Book:
    """What a worker process of many queues and events has to tell."""
    book = Book()
    for number in range(QUEUES):
        queue, actor = f"queue-{number}", f"actor-of-{number}"
        for event in (f"event.number{number}" for number in range(EVENTS)):
            book.add(SETTLED, (queue, actor, event, "succeeded"))
            book.add(ENDED, (queue, actor, event, "succeeded", ""))
            book.observe(AGE, (event,), [1.0])
        book.observe(PROCESSING, (queue, actor), [0.1])
        book.observe(WAIT, (queue,), [0.1])
        book.observe(ATTEMPTS, (actor,), [1.0])
    return book


def _scrape(address: str) -> tuple[float, bytes]:
    """Seconds and body."""
    wanted = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": OPENMETRICS})
    began = time.perf_counter()
    with urllib.request.urlopen(wanted, timeout=PATIENCE) as answer:  # noqa: S310 - our own
        body = answer.read()
    return time.perf_counter() - began, body


def _body_with(address: str, count: int) -> bytes:
    """What is scraped once all that was reported has been read."""
    give_up_at = time.monotonic() + PATIENCE
    while _settled(body := _scrape(address)[1]) != count:
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"{count} were reported, but the scrape says {_settled(body)}")
        time.sleep(0.1)
    return body


def _settled(body: bytes) -> float:
    """The sum of the counter."""
    name = f"{NAMESPACE}_{SETTLED.name}{{".encode()
    return sum(float(line.rpartition(b" ")[2]) for line in body.splitlines() if line.startswith(name))
