"""Whoever is killed, the embedded server comes back with all that it was given."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.actors.embedded import EmbeddedServer
from callboard.actors.filelocks import Kind, is_held, take
from callboard.actors.launch import server_binary
from callboard.messages.errors import EmbeddedServerError
from tests.actors.embedded.programs import WITHIN, eventually, is_there, parent_of, pid_of, read, written


def test_a_killed_server_is_brought_back_with_all_data_by_opening_again(server: EmbeddedServer) -> None:
    written(server)
    for _ in range(3):
        pid = pid_of(server)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not server.running() or server.pid() != pid, "the server is gone")  # noqa: B023 - it ends within its round
        assert read(server) == b"value"
        assert server.pid() != pid


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_died_comes_back_by_itself_while_it_has_users(
    by: signal.Signals, server: EmbeddedServer
) -> None:
    server.open()
    pid = pid_of(server)
    os.kill(pid, by)
    eventually(lambda: server.pid() not in {None, pid}, "another server is there")


def test_when_the_keeper_is_killed_opening_again_brings_all_back(server: EmbeddedServer) -> None:
    written(server)
    pid = pid_of(server)
    os.kill(parent_of(pid), signal.SIGKILL)
    if sys.platform == "linux":
        eventually(lambda: not is_there(pid), "the server ends with its keeper")
    assert read(server) == b"value"


def test_keeper_and_server_killed_at_once_come_back_with_all_data(server: EmbeddedServer) -> None:
    written(server)
    pid = pid_of(server)
    keeper = parent_of(pid)
    os.kill(keeper, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_there(pid), "the server is gone")
    assert read(server) == b"value"


def test_a_keeper_outlives_the_signals_that_end_a_group_of_processes(server: EmbeddedServer) -> None:
    server.open()
    pid = pid_of(server)
    keeper = parent_of(pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(keeper, number)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: server.pid() not in {None, pid}, "another server is there")
    assert parent_of(pid_of(server)) == keeper


def test_a_server_without_a_keeper_is_replaced_by_one_that_is_kept(
    home: Path, server: EmbeddedServer
) -> None:
    written(server)
    server.close()
    eventually(lambda: not is_held(home / "server.lock"), "server and keeper end")
    lock = take(home / "server.lock", Kind.ALONE, lambda: True)
    assert lock is not None
    os.set_inheritable(lock, True)
    options = ["--port", "0", "--unixsocket", str(home / "server.sock"), "--dir", str(home)]
    orphan = subprocess.Popen(
        [
            server_binary(),
            *options,
            "--appendonly",
            "yes",
            "--save",
            "",
            "--logfile",
            str(home / "orphan.log"),
        ],
        pass_fds=(lock,),
    )
    os.close(lock)
    eventually(server.running, "the orphan is there")
    server.open()
    assert orphan.wait(WITHIN) == 0
    assert read(server) == b"value"
    assert server.pid() != orphan.pid


def test_a_server_that_hangs_is_told_of_and_not_doubled(home: Path, server: EmbeddedServer) -> None:
    server.open()
    pid = pid_of(server)
    impatient = EmbeddedServer(home, patience=0.1)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedServerError, match="is there but does not answer"):
            impatient.open()
    finally:
        os.kill(pid, signal.SIGCONT)
    impatient.open()
    impatient.close()
    assert server.pid() == pid


def test_a_server_that_cannot_read_its_data_is_told_of_in_its_own_words(
    home: Path, server: EmbeddedServer
) -> None:
    written(server)
    server.close()
    eventually(lambda: not (home / "server.sock").exists(), "the server ends")
    for data in (home / "appendonlydir").glob("*.incr.aof"):
        data.write_bytes(b"this is not what it was\r\n" * 100)
    with pytest.raises(EmbeddedServerError, match=r"(?s)does not come up.*Bad file format.*failed 5 times"):
        server.open()
