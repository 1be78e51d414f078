"""The events of the tests that show a line of docs/coming-from.md each."""

from callboard import Callboard, Event, Retry
from callboard.actors.mailbox.memory import VirtualClock

SECOND = 1000
"""In milliseconds, as the clock counts."""


class OrderPlaced(Event, name="order.placed", key="order_id"):
    """What happened."""

    order_id: str
    total: float = 0.0


class ReceiptSent(Event, name="receipt.sent", key="order_id"):
    """What follows from it."""

    order_id: str


class Failing:
    """Fails so many times, and then no more."""

    def __init__(self, times: int = 1_000_000) -> None:
        self._left = times

    def __call__(self) -> None:
        if self._left > 0:
            self._left -= 1
            raise ConnectionError("no answer")


def new_app(retry: Retry | None = None) -> Callboard:
    """An app without actors, for one test."""
    return Callboard("shop", retry=retry)


def new_clock() -> VirtualClock:
    """A clock for a mailbox in memory."""
    return VirtualClock(1_900_000_000 * SECOND)
