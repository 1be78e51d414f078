"""The outermost layer: measures each attempt, to be counted once its outcome is durable."""

from collections.abc import Generator
from time import monotonic
from typing import TYPE_CHECKING

from ..messages.delivery import Outcome
from ..observability.metrics import OTHER, PLAIN
from ..observability.settled import Measured

if TYPE_CHECKING:
    from .attempt import Attempt


def metrics(attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
    """The layer of Callboard's broker: whoever settles the delivery counts what it carries."""
    began = monotonic()
    outcome = yield
    policy = attempt.policy
    try:
        event = attempt.envelope.type
    except AttributeError:
        # A layer answered before it was read, or it cannot be read; a plain message has none.
        event = OTHER if policy.contracts else PLAIN
    items = attempt.items
    attempt.held.measured = Measured(
        policy.actor, event, began, monotonic(), None if items is None else items.counts
    )
    return outcome
