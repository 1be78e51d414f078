"""The embedded server: a Valkey that lives in a directory and runs as long as somebody uses it."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from ..messages.errors import EmbeddedServerError
from .filelocks import Kind, held_alone, is_at, take
from .launch import Pulse, is_sound, launch, pulse, server_pid

LONGEST_ADDRESS = 100
"""Bytes; what the systems allow for the path of a unix socket is a little more (macOS 103, Linux 107)."""

OTHERS = 0o077
"""The bits of a mode that let anyone else in."""


class EmbeddedServer:
    """A server in a directory, shared by the processes that open it; it ends after the last of them.

    A process is a user from `open()` until `close()` or its own end, however that comes about, and
    so is a process forked from it. `patience` is how many seconds `open()` waits for a server that
    neither comes up nor reads its data in.
    """

    def __init__(self, home: Path | str, *, patience: float = 10.0) -> None:
        self.home = Path(home).expanduser().absolute()
        self._patience = patience
        # A forked process must not wait for a thread it has not got, so each process has its own lock.
        self._locks: dict[int, threading.Lock] = {}
        self._place: int | None = None

    @property
    def url(self) -> str:
        """Where the server listens when it runs."""
        return f"unix://{quote(str(self._address))}"

    def open(self) -> str:
        """Become a user, and see to it that a server runs; returns its URL.

        May be called again at any time, from any thread, and brings a server back that has died.
        Raises `EmbeddedServerError`.
        """
        with self._lock:
            try:
                home = _prepare_home(self.home)
                address = _prepare_address(home)
                self._join(home)
                if not is_sound(home, address):
                    self._bring_up(home, address)
            except OSError as error:
                raise EmbeddedServerError(
                    f"{self.home} cannot hold the embedded server ({error.strerror or error}): give another "
                    f"directory as CALLBOARD_HOME, or a server as CALLBOARD_URL"
                ) from error
            return self.url

    def close(self) -> None:
        """Stop being a user. The server ends when there is no other."""
        with self._lock:
            self._leave()

    def pid(self) -> int | None:
        """The process id of the server, or None when none answers."""
        return server_pid(self._address)

    def running(self) -> bool:
        """Whether a server answers."""
        return pulse(self._address) is Pulse.WELL

    @property
    def _address(self) -> Path:
        return _address_of(self.home.resolve())

    @property
    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _join(self, home: Path) -> None:
        """Hold the lock that all users share, on the file that is there now.

        It is not to be had while a keeper ends its server, so whoever has it finds the server
        either well or gone, and no keeper that would still end it.
        """
        users = home / "users.lock"
        if self._place is not None and not is_at(self._place, users):
            self._leave()
        is_late = _after(self._patience)
        while self._place is None:
            self._place = take(users, Kind.SHARED, is_late)
            if self._place is None:
                raise EmbeddedServerError(
                    f"the server in {home} is ending, and does not end: see its server.log"
                )
            if not is_at(self._place, users):
                self._leave()

    def _leave(self) -> None:
        # Closed and not freed: that would put out the processes forked from this one as well.
        if self._place is not None:
            os.close(self._place)
            self._place = None

    def _bring_up(self, home: Path, address: Path) -> None:
        is_late = _after(self._patience)
        with held_alone(
            home / "start.lock", lambda: is_late() and pulse(address) is not Pulse.LOADING
        ) as is_our_turn:
            if not is_our_turn:
                raise EmbeddedServerError(
                    f"another process has been starting the server in {home} for {self._patience:g} s: "
                    f"see its server.log"
                )
            launch(home, address, self._patience)


def _after(seconds: float) -> Callable[[], bool]:
    """Tells whether so much time has passed from now."""
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline


def _address_of(home: Path) -> Path:
    """Where the server of a directory listens: in it, if the path is not too long for a socket."""
    inside = home / "server.sock"
    if len(os.fsencode(inside)) <= LONGEST_ADDRESS:
        return inside
    digest = hashlib.blake2b(os.fsencode(home), digest_size=8).hexdigest()
    # Not TMPDIR: every process must come to the same place, whatever its environment says.
    return Path(f"/tmp/callboard-{os.geteuid()}-{digest}/server.sock")  # noqa: S108 - checked before use


def _prepare_home(home: Path) -> Path:
    """The real path of a directory that nobody else can look into, made if need be."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = home.resolve(strict=True)
    found = home.stat()
    if found.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"{home} belongs to another user: run as that user, or give another directory as CALLBOARD_HOME"
        )
    if found.st_mode & OTHERS:
        if any(home.iterdir()):
            raise EmbeddedServerError(
                f"{home} is open to other users: chmod 700 it if it is Callboard's own, or give another "
                f"directory as CALLBOARD_HOME"
            )
        home.chmod(0o700)
    ignored = home / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", "utf-8")
    return home


def _prepare_address(home: Path) -> Path:
    address = _address_of(home)
    folder = address.parent
    if folder != home:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & OTHERS:
            raise EmbeddedServerError(
                f"{folder} is not a private directory of yours: remove it, or give a shorter CALLBOARD_HOME"
            )
    return address
