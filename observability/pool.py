"""What the exporter knows of a pool: the sums of all that its processes reported, and how they are."""

import threading
from collections.abc import Callable

from .cells import Book, LabelValues
from .exposition import Values
from .health import Seen, ailments
from .metrics import BUSY, BY_NAME, STUCK, THREADS
from .names import Names
from .rendezvous import is_alive
from .report import Report


class Pool:
    """Adds reports up. What a process has reported stays when it is gone. Safe to use from many threads."""

    def __init__(self, alive: Callable[[int], bool] = is_alive) -> None:
        self._alive = alive
        self._book = Book()
        self._names = Names()
        self._seen: dict[str, Seen] = {}
        self._lock = threading.Lock()

    def receive(self, report: Report, now: float) -> None:
        """Add a report, which came at `now` by the monotonic clock."""
        with self._lock:
            self._book.merge(self._bounded(report.book()))
            if report.leaving:
                self._seen.pop(report.worker, None)
            else:
                self._seen[report.worker] = Seen(report.pid, report.vitals, now)

    def forget_dead(self) -> None:
        """Forget processes that are no more, without a word."""
        with self._lock:
            self._seen = {name: seen for name, seen in self._seen.items() if self._alive(seen.pid)}

    @property
    def processes(self) -> int:
        """Worker processes that are there."""
        with self._lock:
            return len(self._seen)

    def ailments(self, now: float) -> list[str]:
        """What is wrong with them; see `health.ailments`."""
        self.forget_dead()
        with self._lock:
            return ailments(self._seen.values(), now)

    def snapshot(self) -> tuple[Book, dict[str, Values]]:
        """A copy of all counts, and the gauges of the processes that are there."""
        copy = Book()
        with self._lock:
            copy.merge(self._book)
            vitals = [seen.vitals for seen in self._seen.values()]
        return copy, {
            THREADS.name: {(): sum(each.threads for each in vitals)},
            BUSY.name: {(): sum(each.busy for each in vitals)},
            STUCK.name: {(): sum(each.stuck + len(each.hanging) + len(each.ended) for each in vitals)},
        }

    def _bounded(self, book: Book) -> Book:
        """The same with no more classes of errors than one process may tell apart."""
        for name in list(book.counters):
            labels = BY_NAME[name].labels
            if "error" in labels:
                at = labels.index("error")
                known = book.counters.pop(name)
                for values, count in known.items():
                    book.add(BY_NAME[name], self._with_error(values, at, book), count)
        return book

    def _with_error(self, values: LabelValues, at: int, book: Book) -> LabelValues:
        return (*values[:at], self._names.of_error(values[at], book), *values[at + 1 :])
