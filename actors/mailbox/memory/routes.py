"""The memory mailbox's routes: who subscribes to what, and the version that tells when it changed."""

from collections.abc import Callable, Sequence

from ..subscriptions import CONFIRMED_FOR_MS, MOST_SAID, UPHELD_MS, RouteBook, Subscription


class Routes:
    """Subscriptions by actor, each with the moment it was last confirmed.

    `is_attended` tells whether there are workers at a moment.
    """

    def __init__(self, is_attended: Callable[[int], bool]) -> None:
        self._is_attended = is_attended
        self.version = 0
        self._subscriptions: dict[str, Subscription] = {}
        self._confirmed_at: dict[str, int] = {}
        self._said: dict[str, list[Subscription]] = {}
        """The latest that each actor said, the first said first."""

    def register(
        self, subscriptions: Sequence[Subscription], now: int
    ) -> list[tuple[Subscription | None, Subscription]]:
        """Confirm subscriptions; returns what is new or says something else, each with what it said before.

        The version grows if there is any. What an actor said earlier is left out while workers uphold what is
        newer.
        """
        changes = []
        for new in subscriptions:
            former = self._subscriptions.get(new.actor)
            if self._is_upheld(new.actor, now) and self._is_outdated(new, former):
                continue
            self._note_said(new)
            if new != former:
                changes.append((former, new))
            self._subscriptions[new.actor] = new
            self._confirmed_at[new.actor] = now
        self.version += bool(changes)
        return changes

    def _note_said(self, new: Subscription) -> None:
        said = self._said.setdefault(new.actor, [])
        if new not in said:
            self._said[new.actor] = [*said, new][-MOST_SAID:]

    def _is_upheld(self, actor: str, now: int) -> bool:
        confirmed_at = self._confirmed_at.get(actor)
        return confirmed_at is not None and confirmed_at > now - UPHELD_MS and self._is_attended(now)

    def _is_outdated(self, new: Subscription, former: Subscription | None) -> bool:
        said = self._said.get(new.actor, [])
        return former in said and new in said and said.index(new) < said.index(former)

    def book(self, now: int) -> RouteBook:
        """What is confirmed; forgetting what is not any more makes a new version."""
        lapsed = [actor for actor, at in self._confirmed_at.items() if at + CONFIRMED_FOR_MS <= now]
        for actor in lapsed:
            del self._subscriptions[actor], self._confirmed_at[actor]
            self._said.pop(actor, None)
        self.version += bool(lapsed)
        in_order = sorted(self._subscriptions.values(), key=lambda each: (each.order, each.actor))
        upheld = [actor for actor in self._confirmed_at if self._is_upheld(actor, now)]
        return RouteBook(self.version, tuple(in_order), frozenset(upheld))
