"""The digest in SQLite: the latest word on each subject, and one effect for each delivery id."""

import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

SCHEMA = """
CREATE TABLE IF NOT EXISTS effect (
    delivery   TEXT PRIMARY KEY,
    event      TEXT NOT NULL,
    repository TEXT NOT NULL,
    at         TEXT,
    fence      INTEGER NOT NULL,
    worker     INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS subject (
    repository TEXT NOT NULL,
    kind       TEXT NOT NULL,
    id         TEXT NOT NULL,
    state      TEXT NOT NULL,
    labels     TEXT NOT NULL,
    at         TEXT NOT NULL,
    delivery   TEXT NOT NULL,
    PRIMARY KEY (repository, kind, id)
) STRICT;
"""

# The delivery id breaks ties, so that the digest is the same whatever the order of arrival was.
LEARN = """
INSERT INTO subject VALUES (:repository, :kind, :id, :state, :labels, :at, :delivery)
ON CONFLICT DO UPDATE SET state = excluded.state, labels = excluded.labels,
                          at = excluded.at, delivery = excluded.delivery
WHERE (excluded.state = 'deleted', excluded.at, excluded.delivery) > (state = 'deleted', at, delivery)
"""

REPOSITORIES = """
SELECT repository, count(*), max(at) FROM effect
GROUP BY repository ORDER BY count(*) DESC, repository
"""

STATES = "SELECT kind, state, count(*) FROM subject WHERE repository = ? GROUP BY kind, state"

OPEN_BY_LABEL = """
SELECT label.value, count(*) FROM subject, json_each(subject.labels) AS label
WHERE repository = ? AND kind = 'issue' AND state = 'open' GROUP BY label.value ORDER BY label.value
"""


class Subject(msgspec.Struct, frozen=True):
    """An issue, a release ... and the state it was in at a moment."""

    kind: str
    id: str
    state: str
    at: datetime
    labels: Sequence[str] = ()


class Row(msgspec.Struct, frozen=True):
    """The digest of one repository."""

    repository: str
    webhooks: int
    states: dict[str, int]
    """Its subjects, as in `{"issue open": 2, "release published": 1}`."""
    labels: dict[str, int]
    """Its open issues by label."""
    last_activity: str | None


class Digest:
    """One SQLite file that many threads and processes write to."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(SCHEMA)

    def record(
        self,
        *,
        delivery: str,
        event: str,
        repository: str,
        at: datetime | None,
        fence: int,
        subject: Subject | None,
    ) -> bool:
        """Count a delivery and learn what it says, in one transaction; False if that was done before.

        A handler may start twice, so this is where its effect is made one: the delivery id is the
        primary key. `fence` says which start it was that had the effect.
        """
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            counted = self._db.execute(
                "INSERT INTO effect VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (delivery, event, repository, at and _text(at), fence, os.getpid()),
            ).rowcount
            if counted and subject is not None:
                self._learn(repository, subject, delivery)
        return bool(counted)

    def effects(self) -> int:
        """How many deliveries had an effect."""
        with self._lock:
            count: int = self._db.execute("SELECT count(*) FROM effect").fetchone()[0]
        return count

    def rows(self) -> list[Row]:
        """The digest of every repository, the busiest first."""
        with self._lock, closing(self._db.cursor()) as cursor:
            found = cursor.execute(REPOSITORIES).fetchall()
            return [
                Row(
                    repository,
                    webhooks,
                    {f"{kind} {state}": n for kind, state, n in cursor.execute(STATES, (repository,))},
                    dict(cursor.execute(OPEN_BY_LABEL, (repository,)).fetchall()),
                    last,
                )
                for repository, webhooks, last in found
            ]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _learn(self, repository: str, subject: Subject, delivery: str) -> None:
        known = msgspec.structs.asdict(subject) | {
            "repository": repository,
            "labels": json.dumps(sorted(subject.labels)),
            "at": _text(subject.at),
            "delivery": delivery,
        }
        self._db.execute(LEARN, known)


def _text(moment: datetime) -> str:
    """A moment so that texts sort as moments do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
