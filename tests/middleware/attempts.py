"""What the tests of the layers share: attempts at deliveries that no mailbox holds."""

from collections.abc import Generator
from typing import Any

from callboard import Event
from callboard.actors.mailbox.memory import VirtualClock
from callboard.messages.codec import encode
from callboard.messages.delivery import Delivery, History, Outcome
from callboard.messages.stored import stored_as
from callboard.middleware.attempt import Attempt, Policy
from callboard.middleware.retry import DEFAULT_RETRY, Retry

NOW = 1_700_000_000_000

Layering = Generator[None, Outcome, Outcome]


class OrderPlaced(Event, name="order.placed"):
    """What the attempts are at."""

    order_id: str


def policy(retry: Retry = DEFAULT_RETRY) -> Policy:
    return Policy("handler", {"order.placed": 1000}, retry)


def attempt(
    *,
    body: bytes | None = None,
    retry: Retry = DEFAULT_RETRY,
    history: History | None = None,
    accepted_at: int = NOW,
    due_at: int = NOW,
    now: int = NOW,
) -> Attempt:
    """An attempt at an event, or at a body that may be none; times are epoch milliseconds."""
    if body is None:
        body = encode(OrderPlaced("A"), id="e-1", source="test").body
    stored = stored_as(b"0" * 16, accepted_at, due_at, body)
    made = Delivery("handler:e-1", "default", 7, stored, VirtualClock(now), history or History())
    return Attempt(made, policy(retry))


def run(layer: Any, made: Attempt, outcome: Outcome) -> tuple[bool, Outcome]:
    """Run a layer around an outcome of the handler: whether it let the handler run, and its answer."""
    generator: Layering = layer(made)
    try:
        next(generator)
    except StopIteration as answer:
        return False, answer.value
    made.started = True
    try:
        generator.send(outcome)
    except StopIteration as answer:
        return True, answer.value
    raise AssertionError("the layer yields twice")
