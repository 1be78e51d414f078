"""The memory mailbox's routes: who subscribes to what, and the version that tells when it changed."""

from collections.abc import Sequence

from .mailbox import RouteBook, Subscription

CONFIRMED_FOR_MS = 7 * 24 * 3_600_000
"""A subscription that no worker has confirmed for this long is left out."""


class Routes:
    """Subscriptions by actor, each with the moment it was last confirmed."""

    def __init__(self) -> None:
        self.version = 0
        self._subscriptions: dict[str, Subscription] = {}
        self._confirmed_at: dict[str, int] = {}

    def register(
        self, subscriptions: Sequence[Subscription], now: int
    ) -> list[tuple[Subscription | None, Subscription]]:
        """Confirm subscriptions; returns what is new or says something else, each with what it said before.

        The version grows if there is any.
        """
        changes = []
        for new in subscriptions:
            former = self._subscriptions.get(new.actor)
            if new != former:
                changes.append((former, new))
            self._subscriptions[new.actor] = new
            self._confirmed_at[new.actor] = now
        self.version += bool(changes)
        return changes

    def book(self, now: int) -> RouteBook:
        """What is confirmed; forgetting what is not any more makes a new version."""
        lapsed = [actor for actor, at in self._confirmed_at.items() if at + CONFIRMED_FOR_MS <= now]
        for actor in lapsed:
            del self._subscriptions[actor], self._confirmed_at[actor]
        self.version += bool(lapsed)
        in_order = sorted(self._subscriptions.values(), key=lambda each: (each.order, each.actor))
        return RouteBook(self.version, tuple(in_order))
