"""The exporter shows what was reported on one address, says whether the pool is well, and ends with it."""

import json
import os
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from callboard.messages.errors import MailboxUnavailable
from callboard.observability.cells import Book
from callboard.observability.exporter import Exporter
from callboard.observability.listener import Listener, is_free, join_address, split_address
from callboard.observability.metrics import SETTLED
from callboard.observability.rendezvous import NoRendezvous, open_socket, remove_stale, socket_path
from callboard.observability.report import (
    Place,
    Report,
    Vitals,
    counters_of,
    encode_report,
    histograms_of,
)
from callboard.observability.state import MailboxState, QueueState, StateSource
from tests.actors.rehearsal import until

ONE = ("orders", "note", "order.placed", "succeeded")


class Source:
    """A mailbox whose server may be away."""

    def __init__(self) -> None:
        self.is_away = False
        self.reads = 0
        self.is_closed = False

    def read(self) -> MailboxState:
        self.reads += 1
        if self.is_away:
            raise MailboxUnavailable("the server is away")
        return MailboxState("valkey 9", (QueueState("orders", ready=7),))

    def close(self) -> None:
        self.is_closed = True


class Scene:
    """An exporter at work in this process."""

    def __init__(self, directory: Path, address: str = "127.0.0.1:0", *, is_default: bool = False) -> None:
        self.path = directory / "s"
        self.source = Source()
        self.place = Place(address, is_default=is_default, workspace="w")
        self.pool_lives = True
        self._reports = open_socket(self.path)
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.exporter = Exporter(self._reports, open_source=self._open, pool_lives=lambda: self.pool_lives)
        self._thread = threading.Thread(target=self.exporter.run)
        self._thread.start()

    def _open(self, place: Place) -> StateSource:
        assert place == self.place
        return self.source

    def report(
        self,
        by: int = 1,
        vitals: Vitals | None = None,
        *,
        leaving: bool = False,
        worker: str = "w-1",
        pid: int | None = None,
    ) -> None:
        """Report some successes as a worker process would."""
        process = os.getpid() if pid is None else pid
        book = Book()
        book.add(SETTLED, ONE, by)
        said = Vitals(8, 1) if vitals is None else vitals
        self.send(
            encode_report(
                Report(worker, process, self.place, said, leaving, counters_of(book), histograms_of(book))
            )
        )

    def send(self, datagram: bytes) -> None:
        """Send anything."""
        self._line.sendto(datagram, str(self.path))

    def get(self, path: str, accept: str = "") -> tuple[int, str, str]:
        """Status, content type and body of a page."""
        until(lambda: self.exporter._listener, "the address")
        assert self.exporter._listener is not None
        wanted = urllib.request.Request(
            f"http://{self.exporter._listener.address}{path}", headers={"Accept": accept}
        )
        try:
            with urllib.request.urlopen(wanted, timeout=10) as answer:  # noqa: S310 - our own
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def settled(self) -> float:
        """What the counter shows."""
        lines = [
            line
            for line in self.get("/metrics")[2].splitlines()
            if line.startswith("callboard_deliveries_settled")
        ]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        self.pool_lives = False
        self._thread.join(20)
        assert self.is_over()
        self._line.close()
        self._reports.close()


@contextmanager
def opened(directory: Path, address: str = "127.0.0.1:0", *, is_default: bool = False) -> Iterator[Scene]:
    scene = Scene(directory, address, is_default=is_default)
    try:
        yield scene
    finally:
        scene.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened(tmp_path) as made:
        yield made


def test_a_scrape_shows_what_was_reported_and_what_the_mailbox_holds(scene: Scene) -> None:
    scene.report(2)
    until(lambda: scene.settled() == 2, "the first report")
    scene.report(3)
    until(lambda: scene.settled() == 5, "the sum")
    status, kind, text = scene.get("/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert 'callboard_queue_deliveries{queue="orders",state="ready"} 7' in text
    assert "callboard_worker_threads 8" in text
    assert 'server="valkey 9"' in text
    _, kind, text = scene.get("/metrics", "application/openmetrics-text;version=1.0.0")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


def test_while_the_server_is_away_the_counts_are_shown_and_the_pool_is_not_ready(scene: Scene) -> None:
    scene.report()
    assert scene.get("/readyz")[0] == 200
    scene.source.is_away = True
    until(lambda: scene.get("/readyz")[0] == 503, "the reading to be old")
    _, kind, text = scene.get("/readyz")
    assert (kind, json.loads(text)) == ("application/json", {"ok": False, "reasons": ["the server is away"]})
    text = scene.get("/metrics")[2]
    assert "callboard_queue_deliveries" not in text
    assert "callboard_collector_last_success_timestamp_seconds" in text
    assert scene.settled() == 1
    assert scene.get("/livez")[0] == 200  # that is nothing this process could mend by starting anew
    scene.source.is_away = False
    until(lambda: scene.get("/readyz")[0] == 200, "the server")


def test_many_who_ask_at_once_are_one_reading(scene: Scene) -> None:
    scene.report()
    scene.get("/metrics")
    before = scene.source.reads
    threads = [threading.Thread(target=scene.get, args=(path,)) for path in ("/metrics", "/readyz") * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scene.source.reads <= before + 3


def test_liveness_says_what_is_wrong(scene: Scene) -> None:
    scene.report()
    until(lambda: scene.settled() == 1, "the report")
    assert scene.get("/livez")[::2] == (200, '{"ok":true,"reasons":[]}\n')
    scene.report(vitals=Vitals(8, 8, 1))
    until(lambda: scene.get("/livez")[0] == 503, "the stuck handler")
    (reason,) = json.loads(scene.get("/livez")[2])["reasons"]
    assert reason == f"worker process {os.getpid()}: 1 of its handlers go on after they were interrupted"


def test_without_worker_processes_a_pool_is_not_ready(scene: Scene) -> None:
    scene.report(leaving=True)
    until(lambda: scene.settled() == 1, "the report")
    assert json.loads(scene.get("/readyz")[2])["reasons"] == ["no worker process is there"]


def test_a_thousand_processes_that_were_killed_leave_their_counts_and_nothing_else(scene: Scene) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()

    def lives(numbers: range) -> int:
        for number in numbers:
            scene.report(vitals=Vitals(8, 3), worker=f"w-{number}", pid=gone.pid)
        until(lambda: scene.settled() == numbers.stop, "all reports")
        return len(scene.get("/metrics", "application/openmetrics-text")[2].splitlines())

    few, many = lives(range(10)), lives(range(10, 1000))
    assert many == few
    until(lambda: not scene.exporter._pool._seen, "all to be forgotten")
    assert len(scene.exporter._pool._book.counters[SETTLED.name]) == 1
    assert "callboard_worker_threads 0" in scene.get("/metrics")[2]
    assert json.loads(scene.get("/readyz")[2])["reasons"] == ["no worker process is there"]
    scene.report()
    until(lambda: scene.get("/readyz")[0] == 200, "a process that is there")
    assert scene.settled() == 1001


def test_what_is_no_report_is_passed_over(scene: Scene) -> None:
    with capture_logs() as logs:
        scene.send(b"hello")
        scene.report()
        until(lambda: scene.settled() == 1, "the report behind it")
    assert [line["event"] for line in logs] == [
        "a report cannot be read: is it from another version?",
        "metrics are served",
    ]


@pytest.mark.parametrize(("path", "status"), [("/", 404), ("/metrics?x=1", 200), ("/metrics/", 404)])
def test_there_are_three_pages(scene: Scene, path: str, status: int) -> None:
    scene.report()
    assert scene.get(path)[0] == status


def test_only_reading_is_possible(scene: Scene) -> None:
    scene.report()
    until(lambda: scene.exporter._listener, "the address")
    assert scene.exporter._listener is not None
    url = f"http://{scene.exporter._listener.address}/metrics"
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10) as answer:
        assert (answer.status, answer.read()) == (200, b"")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, data=b"x", timeout=10)
    assert refused.value.code == 501
    refused.value.close()


@pytest.mark.parametrize(("is_default", "level"), [(False, "error"), (True, "warning")])
def test_an_address_that_another_has_is_told_once_and_taken_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_default: bool, level: str
) -> None:
    monkeypatch.setattr("callboard.observability.exporter.BIND_SECONDS", 0.01)
    other = Listener("127.0.0.1:0", {})
    with capture_logs() as logs, opened(tmp_path, other.address, is_default=is_default) as scene:
        for _ in range(3):
            scene.report()
        until(lambda: [line for line in logs if "cannot be served" in line["event"]], "the complaint")
        other.close()
        until(lambda: scene.settled() == 3, "the counts")
    told = [(line["log_level"], line["event"].partition(":")[0]) for line in logs]
    assert [each[0] for each in told] == [level, "info"]
    assert "--metrics HOST:PORT" in logs[0]["event"]
    assert "`none`" in logs[0]["event"]


def test_an_exporter_that_shall_leave_stays_until_the_workers_are_gone(tmp_path: Path) -> None:
    with opened(tmp_path) as scene:
        scene.report()
        until(lambda: scene.settled() == 1, "the report")
        scene.exporter.leaving = True
        scene.report(4)
        until(lambda: scene.settled() == 5, "what it did since")
        assert not scene.is_over()
        scene.report(leaving=True)
        until(scene.is_over, "its end")
        assert scene.source.is_closed


def test_an_exporter_whose_pool_is_gone_ends(tmp_path: Path) -> None:
    with opened(tmp_path) as scene:
        scene.report()
        until(lambda: scene.settled() == 1, "the report")
        scene.pool_lives = False
        until(scene.is_over, "its end")


@pytest.mark.parametrize("address", ["127.0.0.1:9191", "[::1]:80", "metrics.internal:65535"])
def test_an_address_is_taken_apart_and_put_together(address: str) -> None:
    assert join_address(*split_address(address)) == address


def test_an_address_is_free_until_somebody_listens() -> None:
    listener = Listener("127.0.0.1:0", {})
    assert not is_free(listener.address)
    listener.close()
    assert is_free(listener.address)


def test_a_client_that_says_nothing_holds_up_nobody(scene: Scene) -> None:
    scene.report()
    until(lambda: scene.settled() == 1, "the report")
    assert scene.exporter._listener is not None
    with socket.create_connection(split_address(scene.exporter._listener.address)):
        assert scene.get("/metrics")[0] == 200


# The rendezvous.


def test_the_socket_is_where_only_this_user_comes_and_stale_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    path = socket_path(os.getpid())
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert socket_path(os.getpid()) == path != socket_path(os.getppid())
    gone = path.parent / "2147483646-abc.sock"
    for each in (path, gone):
        open_socket(each).close()
    open_socket(path).close()  # what an earlier pool of that id has left is no obstacle
    remove_stale(path.parent)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("spoil", [lambda p: p.chmod(0o777), lambda p: (p.rmdir(), p.symlink_to("/tmp"))])  # noqa: S108 - where an attacker would lead it
def test_a_directory_that_others_can_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object]
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    directory = socket_path(1).parent
    spoil(directory)
    with pytest.raises(OSError, match="set TMPDIR to another place"):
        socket_path(1)


def test_where_no_socket_can_be_made_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(NoRendezvous, match=r"no directory for temporary files to write to .* TMPDIR"):
        socket_path(1)
    for path in (tmp_path / ("x" * 200), tmp_path / "none" / "s", tmp_path / "file" / "s"):
        with pytest.raises(NoRendezvous, match=r"no socket can be made at .* set TMPDIR"):
            open_socket(path)
