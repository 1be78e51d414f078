"""What handlers did, kept in SQLite files outside the system under test, one file a worker process."""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .observed import Run, Stall

FOLDER = "effects"
TRAPS = "traps"

TABLES = """
create table if not exists runs (
    token text, actor text, key text, fence integer, attempt integer, alone integer,
    member text, pid integer, started real, ended real, result text not null default 'open', age real);
create table if not exists stalls (member text, start real, end real);
"""


COLUMNS = "token, actor, key, fence, attempt, alone, member, started, ended, result, age"


class Effects:
    """Writes down each start of a handler and what it did, before anything else may learn of it.

    Each worker has a file of its own: a process stopped in the middle of a write would keep the
    others from writing to a shared one.
    """

    def __init__(self, directory: Path, member: str) -> None:
        self._traps = directory / TRAPS
        self._member = member
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            directory / FOLDER / f"{member}.sqlite", check_same_thread=False, isolation_level=None
        )
        # A killed process loses nothing that the system has; a power cut is not among the faults.
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = off;" + TABLES)

    @contextmanager
    def run(
        self, token: str, actor: str, key: str, *, fence: int, attempt: int, alone: bool, age: float = 0.0
    ) -> Iterator[None]:
        """Around what a handler does: `done` if it returns, `failed` if it raises, `cut` if cancelled."""
        row = self._start((token, actor, key, fence, attempt, alone, age))
        self._spring("mid-handler")
        try:
            yield
        except BaseException as error:
            self._end(row, "cut" if isinstance(error, asyncio.CancelledError) else "failed")
            raise
        self._end(row, "done")
        self._spring("effect done")

    def stall(self, start: float, end: float) -> None:
        """The process did not run between two moments."""
        with self._lock:
            self._db.execute("insert into stalls values (?, ?, ?)", (self._member, start, end))

    def _start(self, facts: tuple[object, ...]) -> int | None:
        with self._lock:
            return self._db.execute(
                "insert into runs (token, actor, key, fence, attempt, alone, age, member, pid, started) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*facts, self._member, os.getpid(), time.monotonic()),
            ).lastrowid

    def _end(self, row: int | None, result: str) -> None:
        with self._lock:
            self._db.execute(
                "update runs set ended = ?, result = ? where rowid = ?", (time.monotonic(), result, row)
            )

    def _spring(self, point: str) -> None:
        """Be killed here if a trap was set for whoever comes by first."""
        trap = self._traps / point
        if trap.exists():
            try:
                trap.rename(self._traps / f"{point} of {self._member}")
            except FileNotFoundError:
                return  # another was first
            os.kill(os.getpid(), signal.SIGKILL)


def read_effects(directory: Path) -> tuple[list[Run], list[Stall]]:
    """Every run and every stall of all workers."""
    runs: list[Run] = []
    stalls: list[Stall] = []
    for path in sorted((directory / FOLDER).glob("*.sqlite")):
        with closing(sqlite3.connect(path)) as db:
            # One killed at its very start has no tables yet.
            db.executescript(TABLES)
            runs += [
                Run(token, actor, key, fence, attempt, bool(alone), *rest)
                for token, actor, key, fence, attempt, alone, *rest in db.execute(
                    f"select {COLUMNS} from runs"  # noqa: S608 - a constant
                )
            ]
            stalls += [Stall(*row) for row in db.execute("select member, start, end from stalls")]
    return runs, stalls
