"""Locks on files that processes share, freed by the kernel when their holders are dead."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

GLANCE = 0.005
"""Seconds between two tries to have a lock."""


class Kind(IntEnum):
    """Who may hold a lock at the same time."""

    SHARED = fcntl.LOCK_SH
    ALONE = fcntl.LOCK_EX


def take(path: Path, kind: Kind, is_hopeless: Callable[[], bool]) -> int | None:
    """The descriptor that holds a lock; None when it cannot be had before the matter is hopeless.

    Closing the descriptor leaves the lock to processes forked meanwhile; `free` takes it from all.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    while not _try(descriptor, kind):
        if is_hopeless():
            os.close(descriptor)
            return None
        time.sleep(GLANCE)
    return descriptor


def free(descriptor: int) -> None:
    """Give a lock up, also for processes that were forked while it was held."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@contextmanager
def held_alone(path: Path, is_hopeless: Callable[[], bool]) -> Iterator[bool]:
    """Holds a lock alone, and yields whether it could be had."""
    descriptor = take(path, Kind.ALONE, is_hopeless)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            free(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock alone."""
    probe = take(path, Kind.SHARED, lambda: True)
    if probe is not None:
        free(probe)
    return probe is None


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at a path, which may have been deleted and made anew."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _try(descriptor: int, kind: Kind) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
