"""Suspects: deliveries whose worker was lost while it held them, for one of them may have been the cause."""

import msgspec

MAX_CRASHES = 3
"""Crashes of a delivery that ran alone, after which it is dead with the reason `poison`."""

HUNT_MS = 2_000
"""An owner that was told of suspects has this long, or a lease if that is shorter, before another is told."""


class Suspects(msgspec.Struct, frozen=True):
    """What a worker wants to do about suspects: deliveries whose worker was lost while it held them."""

    together: int | None = None
    """How many that were lost once it takes together and beside others; None if each shall run alone. Lost in
    such company, they are charged nothing, and from then on each runs alone."""
    hunts: bool = True
    """Whether it wants to be told of those that must run alone."""
    charged: bool = True
    """Whether what it fetches `alone` will be so; lost beside others, it is charged nothing."""


EACH_ALONE = Suspects()
