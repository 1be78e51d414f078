"""Where the processes of a pool find each other: a unix socket named after the one that started them."""

import hashlib
import multiprocessing
import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

SOCKET_BYTES = 1 << 20
"""What the exporter's socket may keep that it has not read, as far as the system allows it."""


class NoRendezvous(OSError):
    """Raised when there is no socket that only this user can reach, nor can be one."""


def pool_id() -> int | None:
    """The process id of the pool's main process; None in a process that no pool has started."""
    parent = multiprocessing.parent_process()
    return None if parent is None else parent.pid


def socket_path(pool: int) -> Path:
    """The path of a pool's socket; raises `NoRendezvous`."""
    # Containers may share a directory of temporary files, and all have a process 1.
    here = hashlib.sha256(f"{socket.gethostname()}:{pool}".encode()).hexdigest()[:8]
    return meeting_place() / f"{pool}-{here}.sock"


def open_socket(path: Path) -> socket.socket:
    """The exporter's end, in place of what another one has left there; raises `NoRendezvous`."""
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        path.unlink(missing_ok=True)
        ours.bind(str(path))
    except OSError as error:
        ours.close()
        raise NoRendezvous(
            f"no socket can be made at {path} ({error.strerror or error}): "
            f"set TMPDIR to a directory with a shorter name that can be written to"
        ) from error
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    return ours


def remove_stale(directory: Path) -> None:
    """Remove the sockets of pools that are no more."""
    for path in directory.glob("*.sock"):
        pid = path.name.partition("-")[0]
        if pid.isdecimal() and not is_alive(int(pid)):
            with suppress(OSError):
                path.unlink()


def is_alive(pid: int) -> bool:
    """Whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def meeting_place() -> Path:
    """A directory that belongs to this user, and that nobody else can enter; raises `NoRendezvous`."""
    try:
        path = Path(tempfile.gettempdir()) / f"callboard-{os.geteuid()}"
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise NoRendezvous(
            f"there is no directory for temporary files to write to ({error.strerror}): "
            f"mount one on /tmp, or name one as TMPDIR"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise NoRendezvous(
            f"{path} is no directory that only this user can enter: remove it, or set TMPDIR to another place"
        )
    return path
