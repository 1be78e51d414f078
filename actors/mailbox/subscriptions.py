"""What actors subscribe to, as workers make it known, and the routes that come of it."""

import msgspec

CONFIRMED_FOR_MS = 7 * 24 * 3_600_000
"""A subscription that no worker has confirmed for this long is dropped."""

UPHELD_MS = 60_000
"""How long what an actor says goes before what it said earlier, after a worker confirmed it."""

MOST_SAID = 8
"""The latest subscriptions of an actor whose order is remembered, to tell an earlier one from a new one."""


class Subscription(msgspec.Struct, frozen=True):
    """What one actor subscribes to, as workers register it."""

    actor: str
    queue: str
    contracts: dict[str, int]
    """The dedup window in milliseconds, by contract name."""
    order: int = 0
    """Position among the actors of its app; fan-out follows it."""
    concurrency: int | None = None
    """How many of its deliveries may be leased at once, by all workers together; None for any number."""
    ordered: bool = False
    """Publishers give its deliveries lanes; see `Target.lane`."""
    key: tuple[str, ...] | None = None
    """The fields that make its dedup key in place of the contract's; none of them for the event's id."""
    retention: dict[str, int] = {}
    """How long records are kept in milliseconds, by contract name, where a contract says so."""


class RouteBook(msgspec.Struct, frozen=True):
    """The routes a mailbox knows at a version; the version grows when they change."""

    version: int
    subscriptions: tuple[Subscription, ...] = ()
    """In the order of `order`, then of the actors' names."""
    upheld: frozenset[str] = frozenset()
    """Actors whose subscription a worker confirmed within the last minute."""
