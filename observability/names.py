"""Which names may be values of labels: those that code declares, and a few classes of errors."""

import re
from collections.abc import Iterable

from .cells import Book
from .metrics import OTHER, OVERFLOW, PLAIN

MOST_ERRORS = 20
"""Classes of errors that are told apart; the rest is one."""

_CLASS = re.compile(r"[^\W\d]\w{0,79}")


class Names:
    """The declared names of one process. Asked while the lock of its cells is held."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {"queue": set(), "actor": set(), "event": {PLAIN}}
        self._errors: set[str] = set()
        self.plain: frozenset[str] = frozenset()
        """Actors of plain dramatiq messages."""

    def declare(
        self,
        *,
        queues: Iterable[str] = (),
        actors: Iterable[str] = (),
        events: Iterable[str] = (),
        plain: Iterable[str] = (),
    ) -> None:
        """Let names be values of labels; `plain` are those among the actors that take no events."""
        self.plain = self.plain.union(plain)
        for label, names in (("queue", queues), ("actor", actors), ("event", events)):
            # Another set instead of a longer one: a thread may be looking at it.
            self._known[label] = self._known[label].union(names)

    def of(self, label: str, name: str, book: Book) -> str:
        """The name if it was declared; else `other`, which `book` counts."""
        return name if name in self._known[label] else _other(label, book)

    def of_error(self, name: str, book: Book) -> str:
        """The name of an error's class if it is among the first few; else `other`."""
        if name in self._errors or name == OTHER:
            return name
        if len(self._errors) < MOST_ERRORS and _CLASS.fullmatch(name):
            self._errors.add(name)
            return name
        return _other("error", book)


def _other(label: str, book: Book) -> str:
    book.add(OVERFLOW, (label,))
    return OTHER
