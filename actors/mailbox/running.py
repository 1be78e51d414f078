"""What workers say they are at: handlers that have been running for a while, for whoever wants to look.

It is told now and then, and forgotten by itself: nothing relies on it.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ...messages.items import ItemCounts

LASTS_MS = 5_000
"""How long what a worker has told is kept: a worker that was killed is at nothing any more then."""

MOST_TOLD = 100
"""Attempts that a worker tells of, those that have been running longest."""


class RunningAttempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt that has been running for a while, as it was when its worker told of it."""

    delivery: str
    """The delivery's id, `actor:key`."""
    queue: str
    attempt: int
    """Its number, counted from 1."""
    thread: str
    """The worker's thread that is at it, by its name."""
    elapsed_ms: int
    """Since its handler was called."""
    limit_ms: int | None = None
    """How long it may take in all; None if nothing of ours limits it."""
    event: str = ""
    """The contract's name, if it is known."""
    together: int = 1
    """Deliveries that the same call of the handler is for; `delivery` is the first of them."""
    items: ItemCounts | None = None
    """How its items have fared so far, if it asked for any."""
    stuck: bool = False
    """Whether it goes on after it was interrupted."""

    @property
    def actor(self) -> str:
        """The name of the actor whose handler it is."""
        return self.delivery.partition(":")[0]


class WorkerReport(msgspec.Struct, frozen=True):
    """What one worker process told last."""

    owner: str
    """The worker's name: its host, its process id and more, with colons between them."""
    ago_ms: int
    """How long ago it told this."""
    attempts: tuple[RunningAttempt, ...]
    more: int = 0
    """How many more there are that it did not tell of."""


class Running(Protocol):
    """Keeps what workers tell for a few seconds. Raises what `Mailbox` does."""

    def tell(self, owner: str, attempts: Sequence[RunningAttempt], more: int = 0) -> None:
        """Keep this in place of what the worker told before; nothing where there is nothing to tell."""
        ...

    def reports(self) -> tuple[WorkerReport, ...]:
        """What the workers that are there told last, by their names."""
        ...
