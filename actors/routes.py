"""Who gets an event: what this app declares, and what workers have registered in the mailbox."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .mailbox.mailbox import Mailbox
from .mailbox.subscriptions import RouteBook, Subscription

REFRESH_SECONDS = 300.0
"""A publisher looks this often for routes that no worker confirms any more."""


class RouteTable:
    """The routes of one version: what it finds is of that version, whatever is loaded meanwhile."""

    def __init__(self, book: RouteBook, declared: dict[str, Subscription]) -> None:
        self.version = book.version
        """The version of the mailbox's routes; -1 before they were loaded."""
        registered = {known.actor: known for known in book.subscriptions}
        upheld = {actor: known for actor, known in registered.items() if actor in book.upheld}
        known = registered | declared | upheld
        self._in_order = sorted(known.values(), key=lambda each: (each.order, each.actor))
        self._by_contract: dict[str, tuple[Subscription, ...]] = {}

    def of(self, contract: str) -> tuple[Subscription, ...]:
        """Who subscribes to a contract.

        What this app declares of an actor goes before what is registered, unless workers uphold that: theirs
        may be newer, and they do the work.
        """
        found = self._by_contract.get(contract)
        if found is None:
            found = tuple(each for each in self._in_order if contract in each.contracts)
            self._by_contract[contract] = found
        return found


class Routes:
    """Contract name -> subscriptions, in the order of definition. Safe to use from many threads."""

    def __init__(self) -> None:
        self.asked_first: Callable[[Mailbox], None] = lambda _: None
        """Called before the first load by one who publishes."""
        self._declared: dict[str, Subscription] = {}
        self._lock = threading.Lock()
        self._use(RouteBook(-1), 0.0)

    @property
    def declared(self) -> Sequence[Subscription]:
        """What this app's own actors subscribe to."""
        return tuple(self._declared.values())

    @property
    def table(self) -> RouteTable:
        """The routes as they are known here."""
        return self._table

    def declare(self, subscription: Subscription) -> None:
        """Add what one of this app's actors subscribes to."""
        with self._lock:
            self._declared[subscription.actor] = subscription
            self._use(self._book, self._loaded_at)

    def loaded(self, mailbox: Mailbox) -> RouteTable:
        """The routes as they are known here; loads the mailbox's when they are old."""
        if time.monotonic() - self._loaded_at > REFRESH_SECONDS or self._table.version < 0:
            if self._table.version < 0:
                self.asked_first(mailbox)
            self.load(mailbox)
        return self._table

    def load(self, mailbox: Mailbox) -> None:
        """Load the mailbox's routes."""
        book = mailbox.routes()
        with self._lock:
            self._use(book, time.monotonic())

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Forget what was loaded while the context lasts, because another mailbox is used."""
        before = self._book, self._loaded_at
        self._use(RouteBook(-1), 0.0)
        try:
            yield
        finally:
            self._use(*before)

    def of(self, contract: str) -> tuple[Subscription, ...]:
        """Who subscribes to a contract, as far as is known here."""
        return self._table.of(contract)

    def _use(self, book: RouteBook, loaded_at: float) -> None:
        self._book, self._loaded_at = book, loaded_at
        self._table = RouteTable(book, self._declared)
