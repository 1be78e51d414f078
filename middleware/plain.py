"""What stands in the place of a plain dramatiq actor's function, so that the stack is around it."""

import time
from collections.abc import Callable
from typing import Any

import dramatiq
import structlog
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Interrupt, SkipMessage

from ..messages.delivery import OutcomeKind
from .attempt import Attempt, Policy
from .guarded import Guarded, Handler
from .plain_answer import Again, answer
from .plain_delivery import delivery_of

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.plain")

TRACEPARENT = "traceparent"
"""The option in which a message carries the W3C trace context that it was enqueued in."""

_LONGEST_PAUSE = 5.0


class PlainActor:
    """What stands in the place of a plain actor's function.

    `current` tells the message that this thread was handed, once. Called by anyone but a worker it
    is the function itself.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        guarded: Guarded,
        broker: dramatiq.Broker,
        current: Callable[[], MessageProxy | None],
    ) -> None:
        self.fn = fn
        self.guarded = guarded
        self._broker = broker
        self._current = current

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one attempt, and answer as dramatiq expects."""
        message = self._current()
        if message is None or message.actor_name != self.guarded.policy.actor:
            return self.fn(*args, **kwargs)
        policy = self.guarded.policy
        attempt = Attempt(delivery_of(message, has_dedup=policy.dedup is not None), policy)
        attempt.arguments = (args, kwargs)
        attempt.traceparent = message.options.get(TRACEPARENT)
        attempt.held = getattr(message, "delivery", attempt.delivery)
        outcome = self.guarded.perform(attempt)
        if attempt.given_up:
            message.has_ended_late(attempt)  # only Callboard's broker gives up what is stuck
            raise SkipMessage("it was given up before it ended")
        if outcome.kind is OutcomeKind.SUCCEEDED:
            return attempt.result
        error = answer(message, attempt, outcome)
        if isinstance(error, Again):
            self._enqueue(message, error.delay_ms)
        raise error

    def _enqueue(self, message: MessageProxy, delay_ms: int) -> None:
        """Enqueue the next attempt before this one is acknowledged, as long as it takes."""
        pause = 0.05
        while True:
            try:
                # dramatiq's own retries hand the proxy over, too
                self._broker.enqueue(message, delay=delay_ms or None)  # type: ignore[arg-type]
            except (Exception, Interrupt) as error:  # noqa: BLE001 - see below
                # Whatever it is, a broker's own errors included: what is acknowledged now would be gone.
                logger.warning("the next attempt cannot be enqueued: this one is kept", error=str(error))
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return


def plain_handler(fn: Callable[..., Any], policy: Policy) -> Handler:
    """A handler that calls a function with a message's arguments."""

    def invoke(attempt: Attempt) -> Any:
        args, kwargs = attempt.arguments
        return fn(*args, **kwargs)

    return Handler(invoke, policy)
