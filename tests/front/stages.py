"""What the tests of the harness share: contracts, a resource, an app and its stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from callboard import Callboard, Event
from callboard.testing import Stage


class OrderPlaced(Event, name="order.placed", key="order_id"):
    """What most tests publish."""

    order_id: str


class OrderShipped(Event, name="order.shipped", key="order_id"):
    """What some handlers publish."""

    order_id: str


class Mailer:
    """A resource that remembers what became of it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed = 0

    def close(self) -> None:
        """Let go of it."""
        self.closed += 1


def new_app() -> Callboard:
    """An app as a user's module declares it: it would open a mailbox on a server, if it ever had to."""
    return Callboard("shop", url="redis://127.0.0.1:1/0")


@contextmanager
def staged(**options: Any) -> Iterator[tuple[Callboard, Stage]]:
    """An app without actors yet, and its stage."""
    app = new_app()
    with Stage(app, **options) as stage:
        yield app, stage
