"""One start of a handler for a delivery: what the layers of the stack see and hand on."""

from typing import Any

import msgspec

from ..messages.delivery import Delivery, ErrorRecord, History
from ..messages.envelope import Envelope
from ..messages.event import Event
from .retry import Retry


class Policy(msgspec.Struct, frozen=True):
    """The options of one actor, resolved."""

    actor: str
    contracts: dict[str, int]
    """The dedup window in milliseconds, by the names of the contracts it subscribes to."""
    retry: Retry


class Attempt:
    """One start of a handler for a delivery."""

    __slots__ = ("delivery", "envelope", "event", "exception", "policy", "published", "started")

    envelope: Envelope
    """Set by the decode layer."""
    event: Event
    """Set by the decode layer."""

    def __init__(self, delivery: Delivery, policy: Policy) -> None:
        self.delivery = delivery
        self.policy = policy
        self.exception: BaseException | None = None
        self.published: list[Any] | None = None
        """What the handler published, to go out with its success."""
        self.started = False
        """Whether the handler was called; what never reached it is no attempt of it."""

    def history(self, error: ErrorRecord | None) -> History:
        """What to remember when this attempt is charged."""
        earlier = self.delivery.history
        return History(
            attempts=earlier.attempts + self.started,
            crashes=earlier.crashes,
            first_error=earlier.first_error or error,
            last_error=error or earlier.last_error,
        )
