"""Who gets an event: what this app declares, and what workers have registered in the mailbox."""

import threading
import time
from collections.abc import Sequence

from .mailbox.mailbox import Mailbox, RouteBook, Subscription

REFRESH_SECONDS = 300.0
"""A publisher looks this often for routes that no worker confirms any more."""


class Routes:
    """Contract name -> subscriptions, in the order of definition. Safe to use from many threads."""

    def __init__(self) -> None:
        self._declared: dict[str, Subscription] = {}
        self._book = RouteBook(-1)
        self._by_contract: dict[str, tuple[Subscription, ...]] = {}
        self._loaded_at = 0.0
        self._lock = threading.Lock()

    @property
    def declared(self) -> Sequence[Subscription]:
        """What this app's own actors subscribe to."""
        return tuple(self._declared.values())

    @property
    def known_version(self) -> int:
        """The version of the mailbox's routes that is known here; -1 before they were loaded."""
        return self._book.version

    def declare(self, subscription: Subscription) -> None:
        """Add what one of this app's actors subscribes to."""
        with self._lock:
            self._declared[subscription.actor] = subscription
            self._by_contract = {}

    def version(self, mailbox: Mailbox) -> int:
        """The version of the mailbox's routes that is known here; loads them when they are old."""
        if time.monotonic() - self._loaded_at > REFRESH_SECONDS or self._book.version < 0:
            self.load(mailbox)
        return self._book.version

    def load(self, mailbox: Mailbox) -> None:
        """Load the mailbox's routes."""
        book = mailbox.routes()
        with self._lock:
            self._book, self._loaded_at, self._by_contract = book, time.monotonic(), {}

    def of(self, contract: str) -> tuple[Subscription, ...]:
        """Who subscribes to a contract; what this app declares of an actor goes before what is registered."""
        found = self._by_contract.get(contract)
        if found is None:
            with self._lock:
                known = {known.actor: known for known in self._book.subscriptions} | self._declared
                found = tuple(
                    sorted(
                        (each for each in known.values() if contract in each.contracts),
                        key=lambda each: (each.order, each.actor),
                    )
                )
                self._by_contract[contract] = found
        return found
