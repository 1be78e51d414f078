"""Keeps one embedded server running while it has users: a program of its own, standard library only.

    keeper.py HOME SOCKET LIFELINE SERVER [ARGUMENT...]

HOME is the server's directory, SOCKET where it listens, LIFELINE a descriptor that its starter
watches: it closes when the keeper ends. The rest is the server's command line. The locks in HOME,
each freed by the kernel when their holders are dead:

    users.lock   shared by every user; whoever gets it alone knows that all have left
    keeper.lock  held by the one keeper
    server.lock  held by the keeper and, inherited, by its server: no second server starts beside it
"""

import ctypes
import fcntl
import os
import signal
import socket
import sys
import time

GLANCE = 0.05
"""Seconds between two looks at whether the server lives and the users have left."""

ELDERS_PATIENCE = 1.0
"""Seconds to wait for a keeper that may be leaving."""

LAST_WORDS = 30.0
"""Seconds a server may take to write everything down before it is killed."""

SHORT_LIFE = 5.0
"""A server that lived fewer seconds than this has failed."""

LISTENS_WITHIN = 15.0
"""Seconds a server may take to make its socket."""

MOST_FAILURES = 5
"""Failures in a row after which the keeper gives up; the next user tries anew."""

SYNC_EVERY = 1.0
"""Seconds between two times that what the server has written is brought onto the disk."""

PR_SET_PDEATHSIG = 1


def main(home: str, address: str, lifeline: int, command: list[str]) -> int:
    """Keep the server until nobody uses it (0), another keeper is there (0), or it cannot live (1)."""
    os.set_inheritable(lifeline, False)
    keeping = _lock(f"{home}/keeper.lock", ELDERS_PATIENCE)
    if keeping is None:
        return 0
    serving = _lock(f"{home}/server.lock", 0)
    if serving is None:
        _retire_orphan(address)
        serving = _lock(f"{home}/server.lock", LAST_WORDS)
    if serving is None:
        return _complain("a server without a keeper is there and does not end: end it, and try again")
    os.set_inheritable(serving, True)
    users = os.open(f"{home}/users.lock", os.O_RDWR)
    status = _keep(users, keeping, home, address, command)
    # Users wait for their lock alone: when it becomes free, the others must be already.
    os.close(serving)
    os.close(keeping)
    return status


def _keep(users: int, keeping: int, home: str, address: str, command: list[str]) -> int:
    failures = 0
    while failures < MOST_FAILURES:
        born = time.monotonic()
        _remove(address)
        server = _start(command)
        if _watch(server, users, keeping, home, address):
            return 0
        failures = failures + 1 if time.monotonic() - born < SHORT_LIFE else 0
        time.sleep(GLANCE * (2**failures - 1))
    return _complain(f"the server failed {MOST_FAILURES} times in a row")


def _watch(server: int, users: int, keeping: int, home: str, address: str) -> bool:
    """Wait for the end of the server; whether it was the last, and not to be started again."""
    has_listened = False
    sync_at = time.monotonic()
    give_up_at = sync_at + LISTENS_WITHIN
    while _is_alive(server):
        if not _is_at(keeping, f"{home}/keeper.lock"):
            # The directory was deleted. Ending as usual, the server would remove the socket of one
            # that came after it at the same place.
            _kill(server)
            return True
        if _try_lock(users):
            _end(server)
            return True
        listens = os.path.exists(address)  # noqa: PTH110 - pathlib would make starting slower
        if not listens and (has_listened or time.monotonic() > give_up_at):
            # The socket was deleted, so nobody can find this server any more.
            _end(server)
            return False
        has_listened = listens
        if time.monotonic() > sync_at:
            _sync(f"{home}/appendonlydir")
            sync_at = time.monotonic() + SYNC_EVERY
        time.sleep(GLANCE if listens else GLANCE / 20)
    return not _is_at(keeping, f"{home}/keeper.lock") or _try_lock(users)


def _sync(folder: str) -> None:
    """Bring the append-only files onto the disk.

    A server that does so itself holds back what it writes meanwhile, and acknowledges it all the same:
    that would be lost if it were killed. So it is told to leave this to us, and writes before it answers.
    """
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".incr.aof")]  # noqa: PTH208 - see above
        for name in names:
            file = os.open(f"{folder}/{name}", os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
    except FileNotFoundError:
        return  # not made yet, or replaced by a rewritten one, which the server has synced
    except OSError as error:
        _complain(f"what the server wrote may not be on the disk: {error}")


def _start(command: list[str]) -> int:
    """Start the server as a child that dies with this process; its process id."""
    keeper = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    child = os.fork()
    if child:
        return child
    try:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            os.execv(command[0], command)  # noqa: S606 - there is no shell, and the path is absolute
    except OSError as error:
        _complain(f"{command[0]} cannot be run: {error}")
    os._exit(127)


def _is_alive(server: int) -> bool:
    ended, _ = os.waitpid(server, os.WNOHANG)
    return not ended


def _end(server: int) -> None:
    """Ask our child to write everything down and end; kill it when it does not."""
    os.kill(server, signal.SIGTERM)
    give_up_at = time.monotonic() + LAST_WORDS
    while time.monotonic() < give_up_at:
        if not _is_alive(server):
            return
        time.sleep(GLANCE / 10)
    _kill(server)


def _kill(server: int) -> None:
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)


def _retire_orphan(address: str) -> None:
    """Ask a server that outlived its keeper to end; it listens in a directory that is only ours."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ELDERS_PATIENCE)
        try:
            line.connect(address)
            line.sendall(b"SHUTDOWN\r\n")
        except OSError as error:
            # It is dying already, or about to be complained about.
            print(f"keeper: no orphan answers at {address}: {error}", file=sys.stderr)  # noqa: T201 - its log


def _lock(path: str, patience: float) -> int | None:
    """An exclusive lock's descriptor, or None when others still hold it after `patience` seconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    give_up_at = time.monotonic() + patience
    while not _try_lock(descriptor):
        if time.monotonic() > give_up_at:
            os.close(descriptor)
            return None
        time.sleep(GLANCE / 10)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    """Whether an open file is the one at a path, which may have been deleted and made anew."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - see above
    except FileNotFoundError:
        return False


def _remove(address: str) -> None:
    """Remove the socket that a server left behind when it was killed."""
    try:
        os.unlink(address)  # noqa: PTH108 - see above
    except FileNotFoundError:
        return


def _complain(fault: str) -> int:
    print(f"keeper: {fault}", file=sys.stderr, flush=True)  # noqa: T201 - it goes into the server's log
    return 1


def _detach() -> None:
    """Leave the process that started us: it neither waits for us nor hands us its signals."""
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    # What ends a group of processes must not take the server from users that still drain their work.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # A starter may have blocked signals for itself; the server would inherit that, and not end.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


if __name__ == "__main__":
    _detach()
    _, home, address, lifeline, *command = sys.argv
    sys.exit(main(home, address, int(lifeline), command))
