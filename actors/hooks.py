"""The hooks of other dramatiq middleware, fired once for each event as they are for each message."""

from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
import structlog
from dramatiq.broker import MessageProxy
from dramatiq.middleware import (
    AgeLimit,
    AsyncIO,
    Callbacks,
    Middleware,
    Pipelines,
    Retries,
    ShutdownNotifications,
    SkipMessage,
    TimeLimit,
)
from dramatiq.results import Results

from ..messages.delivery import Delivery, Outcome, OutcomeKind, Reason, error_record
from ..middleware.stack import Stack

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.hooks")

STACK_INSTEAD = (
    AgeLimit,
    AsyncIO,
    Callbacks,
    Pipelines,
    Results,
    Retries,
    ShutdownNotifications,
    Stack,
    TimeLimit,
)
"""For events the stack does what these do for plain messages; both would do it twice."""

_HOOKS = ("before_process_message", "after_process_message", "after_skip_message")


class Hooked:
    """One attempt between its hooks."""

    skipped: Outcome | None = None
    """Set when a middleware will not have it."""
    outcome: Outcome | None = None
    """What it came to, to be told to the hooks after it."""


class EventHooks:
    """Which hooks there are for events; none costs nothing."""

    def __init__(self, broker: dramatiq.Broker) -> None:
        self._broker = broker
        self._middleware: list[Middleware] = []
        self.any = False
        """Whether some middleware has a hook."""

    def look(self) -> None:
        """See which middleware the broker has now."""
        self._middleware = [
            middleware
            for middleware in self._broker.middleware
            if not isinstance(middleware, STACK_INSTEAD)
            and any(getattr(type(middleware), hook) is not getattr(Middleware, hook) for hook in _HOOKS)
        ]
        self.any = bool(self._middleware)

    @contextmanager
    def around(self, delivery: Delivery) -> Iterator["Hooked"]:
        """Fire the hooks around an attempt, as dramatiq's worker does around a message."""
        message = _message_of(delivery)
        hooked = Hooked()
        try:
            self._fire("before_process_message", message)
        except SkipMessage as skip:
            # As records keep the text of an exception: short, and such that it can be written.
            why = error_record(skip, 0).message
            hooked.skipped = Outcome(
                OutcomeKind.DISCARDED, Reason.REJECTED, f"skipped by a middleware: {why}"
            )
            logger.warning("discarded", actor=delivery.actor, reason="rejected", detail=f"skipped: {why}")
            self._fire("after_skip_message", message)
        yield hooked
        outcome = hooked.outcome
        if hooked.skipped is not None or outcome is None:
            return
        failed = None
        if outcome.kind is not OutcomeKind.SUCCEEDED:
            failed = dramatiq.DramatiqError(f"{outcome.kind}: {outcome.error.type if outcome.error else ''}")
        self._fire("after_process_message", message, result=None, exception=failed)

    def _fire(self, hook: str, message: MessageProxy, **result: object) -> None:
        """A fault in a hook is logged and hides nothing; only a skip has a say, as in dramatiq."""
        chain = self._middleware if hook.startswith("before") else reversed(self._middleware)
        for middleware in chain:
            try:
                getattr(middleware, hook)(self._broker, message, **result)
            except SkipMessage:
                if hook == "before_process_message":
                    raise
            except Exception:
                self._broker.logger.critical(
                    "Unexpected failure in %s of %r.", hook, middleware, exc_info=True
                )


def _message_of(delivery: Delivery) -> MessageProxy:
    return MessageProxy(
        dramatiq.Message(
            queue_name=delivery.queue,
            actor_name=delivery.actor,
            args=(delivery,),
            kwargs={},
            options={},
            message_id=delivery.key,
            message_timestamp=delivery.accepted_at,
        )
    )
