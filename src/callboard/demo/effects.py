"""What handlers did, kept in an SQLite file of its own: the mailbox's records are checked against it."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from ..actors.context import Context

PATIENCE = 10.0
"""Seconds to wait while another process writes."""

_TABLES = """
CREATE TABLE IF NOT EXISTS effects (actor TEXT, "order" TEXT, fence INT, attempt INT, pid INT, late_ms INT);
CREATE TABLE IF NOT EXISTS workers (pid INT, pool INT);
"""


class Effect(msgspec.Struct, frozen=True):
    """One thing that a handler did."""

    actor: str
    order: str
    fence: int
    attempt: int
    pid: int
    late_ms: int
    """From when it was due until it was done, milliseconds of the server's clock."""


class Effects:
    """Records effects from any thread of a worker. Nothing here keeps an effect from happening twice."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = _connect(path)
        self._write("INSERT INTO workers VALUES (?, ?)", (os.getpid(), os.getppid()))

    def record(self, ctx: Context, order: str) -> None:
        """Keep that the actor has done its part for an order."""
        late_ms = round((ctx.age() - ctx.delay).total_seconds() * 1000)
        row = (ctx.actor, order, ctx.fence, ctx.attempt, os.getpid(), late_ms)
        self._write("INSERT INTO effects VALUES (?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _write(self, statement: str, row: tuple[object, ...]) -> None:
        with self._lock:
            self._file.execute(statement, row)


def effects_file(home: Path, workspace: str) -> Path:
    """Where the effects of one demo are kept."""
    return home / f"effects-{workspace}.sqlite3"


def read_effects(path: Path) -> list[Effect]:
    """All effects, in the order of their fences."""
    with _reading(path) as file:
        rows = file.execute('SELECT actor, "order", fence, attempt, pid, late_ms FROM effects ORDER BY fence')
        return [Effect(*row) for row in rows]


def read_delays(path: Path, latest: int = -1) -> list[int]:
    """How late what came through at its first attempt was done, milliseconds, sorted.

    Of the `latest` so many effects, or of all of them.
    """
    with _reading(path) as file:
        rows = file.execute(
            "SELECT late_ms FROM (SELECT * FROM effects ORDER BY rowid DESC LIMIT ?) WHERE attempt = 1",
            (latest,),
        )
        return sorted(late_ms for (late_ms,) in rows)


def read_workers(path: Path, pool: int) -> list[int]:
    """The process ids of the workers that a pool has had."""
    with _reading(path) as file:
        rows = file.execute("SELECT pid FROM workers WHERE pool = ? ORDER BY rowid", (pool,))
        return [pid for (pid,) in rows]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(_connect(path)) as file:
        yield file


def _connect(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    # The demo survives the death of a worker, not of the machine.
    file.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {_TABLES}")
    return file
