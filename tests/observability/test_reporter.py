"""What a process reports arrives once, however the exporter is: away, late, full, or there."""

import errno
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from callboard.observability.cells import Book, Cells
from callboard.observability.metrics import SETTLED, WAIT
from callboard.observability.rendezvous import open_socket
from callboard.observability.report import (
    MOST_BYTES,
    Place,
    Report,
    Vitals,
    counters_of,
    decode_report,
    encode_report,
    histograms_of,
    parts_of,
)
from callboard.observability.reporter import LEAST_BYTES, Reporter

PLACE = Place("127.0.0.1:0", is_default=False, workspace="w", url="redis://:secret@nowhere")
ONE = ("orders", "note", "order.placed", "succeeded")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def exporter(path: Path) -> Iterator[socket.socket]:
    """An exporter that reads when it is told to."""
    with open_socket(path) as made:
        made.setblocking(False)
        yield made


@pytest.fixture
def cells() -> Cells:
    return Cells()


@pytest.fixture
def reporter(cells: Cells, path: Path) -> Iterator[Reporter]:
    made = Reporter(cells, path, worker="w-1", place=PLACE, vitals=lambda: Vitals(8, 2, 1))
    yield made
    made._socket.close()


def add(cells: Cells, labels: tuple[str, ...] = ONE, by: int = 1) -> None:
    with cells.lock:
        cells.fresh.add(SETTLED, labels, by)


def arrived(exporter: socket.socket) -> tuple[Book, list[Report]]:
    """All that waits in the exporter's socket."""
    book, reports = Book(), []
    while True:
        try:
            reports.append(decode_report(exporter.recv(1 << 18)))
        except BlockingIOError:
            return book, reports
        book.merge(reports[-1].book())


def settled(book: Book) -> float:
    return sum(book.counters.get(SETTLED.name, {}).values())


def test_a_report_tells_what_changed_and_how_the_process_is(
    cells: Cells, reporter: Reporter, exporter: socket.socket
) -> None:
    add(cells, by=3)
    with cells.lock:
        cells.fresh.observe(WAIT, ("orders",), [0.5, 7.0])
    assert reporter.report()
    book, (report,) = arrived(exporter)
    assert book.counters == {SETTLED.name: {ONE: 3}}
    assert book.histograms[WAIT.name][("orders",)].total == 7.5
    assert (report.worker, report.place, report.vitals, report.leaving) == (
        "w-1",
        PLACE,
        Vitals(8, 2, 1),
        False,
    )
    assert reporter.report()
    book, (report,) = arrived(exporter)
    assert not book
    assert report.vitals == Vitals(8, 2, 1)


def test_what_cannot_be_sent_is_sent_later(cells: Cells, reporter: Reporter, path: Path) -> None:
    add(cells)
    assert not reporter.report()  # nobody has been there
    with open_socket(path) as first:
        first.setblocking(False)
        add(cells)
        assert reporter.report()
        assert settled(arrived(first)[0]) == 2
    add(cells)
    assert not reporter.report()  # it has gone
    add(cells)
    with open_socket(path) as second:
        second.setblocking(False)
        assert reporter.report()
        assert settled(arrived(second)[0]) == 2


def test_an_exporter_that_is_missed_is_told_of_once_and_when_it_is_back(
    cells: Cells, reporter: Reporter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        reporter.report()
        assert not logs  # a pool that starts has none for a while
        monkeypatch.setattr("callboard.observability.reporter.MISSED_AFTER", 0.0)
        for _ in range(3):
            add(cells)
            reporter.report()
        (told,) = logs
        assert (told["log_level"], told["error"]) == ("error", "No such file or directory")
        with open_socket(path) as exporter:
            exporter.setblocking(False)
            reporter.report()
            reporter.report()
            assert settled(arrived(exporter)[0]) == 3
        assert [each["log_level"] for each in logs] == ["error", "info"]


def test_a_full_socket_loses_nothing_and_doubles_nothing(
    cells: Cells, reporter: Reporter, exporter: socket.socket
) -> None:
    sent = 0
    while True:
        add(cells)
        sent += 1
        if not reporter.report():
            break
    book, _ = arrived(exporter)
    assert settled(book) == sent - 1
    add(cells)
    assert reporter.report()
    assert settled(arrived(exporter)[0]) == 2


def test_what_is_too_much_for_one_datagram_goes_in_parts(
    cells: Cells, reporter: Reporter, exporter: socket.socket
) -> None:
    total = Book()
    for number in range(5000):
        add(cells, (f"queue-{number}", "x" * 50, "event", "succeeded"), number + 1)
    while not reporter.report():  # a socket takes only so many datagrams at once
        total.merge(arrived(exporter)[0])
    total.merge(arrived(exporter)[0])
    assert len(total.counters[SETTLED.name]) == 5000
    assert settled(total) == 5000 * 5001 / 2


def test_parts_fit_and_are_the_whole() -> None:
    book = Book()
    for number in range(3000):
        book.add(SETTLED, (f"queue-{number}", "ü" * 40, "event", "succeeded"), 2**40)
        book.observe(WAIT, (f"queue-{number}",), [1.0, 2.0])
    parts = list(parts_of(book))
    datagrams = [
        encode_report(Report("w", 1, PLACE, Vitals(), False, counters_of(part), histograms_of(part)))
        for part in parts
    ]
    assert max(map(len, datagrams)) < 1.5 * MOST_BYTES
    again = Book()
    for datagram in datagrams:
        again.merge(decode_report(datagram).book())
    assert again.counters == book.counters
    assert len(again.histograms[WAIT.name]) == 3000
    assert len(list(parts_of(Book()))) == 1


class Narrow(socket.socket):
    """A socket of a system that lets no large datagrams through."""

    def sendto(self, data: Any, *where: Any) -> int:
        if len(data) > 4000:
            raise OSError(errno.EMSGSIZE, "Message too long")
        return super().sendto(data, *where)


def test_a_system_that_lets_less_through_is_given_less(
    cells: Cells, reporter: Reporter, exporter: socket.socket
) -> None:
    reporter._socket.close()
    reporter._socket = Narrow(socket.AF_UNIX, socket.SOCK_DGRAM)
    reporter._socket.setblocking(False)
    for number in range(400):
        add(cells, (f"queue-{number}", "actor", "event", "succeeded"))
    total, tries = Book(), 0
    while not reporter.report():
        total.merge(arrived(exporter)[0])
        tries += 1
        assert tries < 100
    total.merge(arrived(exporter)[0])
    assert settled(total) == 400
    assert LEAST_BYTES <= reporter._most_bytes < MOST_BYTES


def test_a_process_that_stops_reports_its_last_numbers_and_that_it_leaves(
    cells: Cells, reporter: Reporter, exporter: socket.socket
) -> None:
    reporter.start()
    add(cells)
    reporter.stop()
    book, reports = arrived(exporter)
    assert settled(book) == 1
    assert [report.leaving for report in reports] == [False] * (len(reports) - 1) + [True]
    assert "callboard-reporter" not in {thread.name for thread in threading.enumerate()}


def test_whoever_stops_waits_for_an_exporter_that_is_slow(
    cells: Cells, reporter: Reporter, exporter: socket.socket
) -> None:
    while reporter.report():
        add(cells)
    reporter.start()
    read: list[float] = []
    reading = threading.Timer(0.2, lambda: read.append(settled(arrived(exporter)[0])))
    reading.start()
    add(cells)
    reporter.stop()
    reading.join()
    book, reports = arrived(exporter)
    assert settled(book) > 0
    assert reports[-1].leaving


def test_a_report_shows_no_password() -> None:
    assert "secret" not in repr(PLACE)
    assert "secret" not in repr(Report("w", 1, PLACE, Vitals()))


def test_labels_that_do_not_fit_an_instrument_are_left_out() -> None:
    report = Report("w", 1, PLACE, Vitals(), counters={SETTLED.name: [(("too", "few"), 1.0), (ONE, 1.0)]})
    assert decode_report(encode_report(report)).book().counters == {SETTLED.name: {ONE: 1}}
