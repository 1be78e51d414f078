"""What stands in the place of a plain actor's function that is measured, and left to dramatiq in all else."""

from collections.abc import Callable
from typing import Any

from dramatiq.broker import MessageProxy

from ..messages.delivery import SUCCEEDED, Outcome
from .attempt import Attempt, Policy
from .layer import Layer, Layering
from .plain_delivery import delivery_of
from .timeout import failure


class MeasuredActor:
    """Calls the function and measures that; what it raises is dramatiq's to decide upon.

    `current` tells the message that this thread was handed, once.
    """

    def __init__(
        self, fn: Callable[..., Any], policy: Policy, layer: Layer, current: Callable[[], MessageProxy | None]
    ) -> None:
        self.fn = fn
        self.policy = policy
        self._layer = layer
        self._current = current

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one attempt."""
        message = self._current()
        if message is None or message.actor_name != self.policy.actor:
            return self.fn(*args, **kwargs)
        attempt = Attempt(delivery_of(message, has_dedup=False), self.policy)
        layering = self._layer(attempt)
        next(layering)
        try:
            result = self.fn(*args, **kwargs)
        except BaseException as error:
            _leave(layering, failure(attempt, error))
            raise
        _leave(layering, SUCCEEDED)
        return result


def _leave(layering: Layering, outcome: Outcome) -> None:
    try:
        layering.send(outcome)
    except StopIteration:
        return
