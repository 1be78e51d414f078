"""Orders written into SQLite, one by one with a commit each, or a batch in one transaction."""

import sqlite3
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from callboard import Batch, Callboard

from .orders import OrderPlaced
from .tally import Tally


class Rows:
    """A database in a file of its own, with SQLite's defaults: a commit is on the disk when it returns."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="callboard-rows-")
        path = Path(self._directory.name) / "rows.db"
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("create table orders (id integer primary key, number, email, total)")
        self._lock = threading.Lock()

    def insert(self, events: Sequence[OrderPlaced]) -> None:
        """Write all of them, or none."""
        values = [(event.order_id, event.email, event.total) for event in events]
        with self._lock, self._database:
            self._database.executemany("insert into orders (number, email, total) values (?, ?, ?)", values)

    def close(self) -> None:
        """Let go of the file, and of its directory."""
        self._database.close()
        self._directory.cleanup()


def write_rows(app: Callboard, tally: Tally, *, batches: bool) -> None:
    """Declare the actor that takes orders."""
    app.provide(Rows, Rows)
    if batches:

        @app.actor(name="take_order", batch=Batch(size=100))
        def take_orders(events: list[OrderPlaced], rows: Rows) -> None:
            rows.insert(events)
            for event in events:
                tally.handled(event.due)

    else:

        @app.actor(name="take_order")
        def take_order(event: OrderPlaced, rows: Rows) -> None:
            rows.insert([event])
            tally.handled(event.due)
