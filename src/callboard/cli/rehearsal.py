"""Tries in a process of its own what workers will do, so that faults are told once and leave nothing behind.

Each worker process imports the app for itself. Were it imported before they are forked, the threads
and connections that importing may start would be there in none of them.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from .exits import guard

Examine = Callable[[], Path | None]
"""Looks at everything; answers the home of the embedded server that it uses, if it uses one."""


def rehearse(examine: Examine, then: Callable[[Path], object]) -> None:
    """Run `examine` in a fork, and `then` with its answer while the fork still uses what it opened.

    Faults have been told when this raises `SystemExit` with their exit code.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        _play(examine, theirs)
    theirs.close()
    try:
        with ours, ours.makefile("rb") as line:
            answer = line.read()
            if answer and (home := msgspec.json.decode(answer, type=str | None)):
                then(Path(home))
    except BaseException:
        os.kill(child, signal.SIGTERM)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if not answer:
        sys.exit(os.waitstatus_to_exitcode(status))


def _play(examine: Examine, line: socket.socket) -> None:
    """The fork's part; it never returns."""

    def play() -> None:
        home = examine()
        line.sendall(msgspec.json.encode(None if home is None else str(home)))
        line.shutdown(socket.SHUT_WR)
        line.recv(1)  # until the other has seen to it

    code = 1
    try:
        code = guard(play)
    finally:
        sys.stderr.flush()
        os._exit(code)
