"""A plain dramatiq actor with the stack around it: outcomes become what any dramatiq broker understands."""

import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NoReturn

import dramatiq
import structlog
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Interrupt, SkipMessage

from ..messages.delivery import Delivery, History, Outcome, OutcomeKind
from .attempt import Attempt, Policy
from .guarded import Guarded, Handler

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.plain")

_DUE = "callboard_due"
"""The option in which a message carries when it was first due: brokers move `eta` with each retry."""

_LONGEST_PAUSE = 5.0


class DeadLettered(dramatiq.DramatiqError):
    """Raised out of a plain actor whose message is dead for another reason than an exception of its own."""

    def __init__(self, outcome: Outcome) -> None:
        Exception.__init__(self, f"{outcome.reason}: {outcome.detail or ''}")


class WallClock:
    """This machine's clock: dramatiq's brokers tell no other."""

    def now(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000


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
        attempt = Attempt(delivery_of(message), self.guarded.policy)
        attempt.arguments = (args, kwargs)
        attempt.held = getattr(message, "delivery", attempt.delivery)
        outcome = self.guarded.perform(attempt)
        if outcome.kind is not OutcomeKind.SUCCEEDED:
            self._conclude(message, attempt, outcome)
        return attempt.result

    def _conclude(self, message: MessageProxy, attempt: Attempt, outcome: Outcome) -> NoReturn:
        """Raises what makes dramatiq acknowledge or dead-letter the message."""
        kind, error = outcome.kind, attempt.exception
        if kind is OutcomeKind.RETRIED and attempt.policy.retry is None and error is not None:
            raise error  # dramatiq's own retries have the say
        settle_as = getattr(message, "settle_as", None)  # Callboard's broker settles in one step
        if settle_as is not None:
            settle_as(outcome, attempt.history(outcome.error))
        if kind is OutcomeKind.DEAD:
            error = error or DeadLettered(outcome)
            message.fail()
            if attempt.policy.retry is None:
                message.options["throws"] = type(error)  # or dramatiq would retry what is dead
            raise error
        if kind in (OutcomeKind.RETRIED, OutcomeKind.RELEASED):
            charged = kind is OutcomeKind.RETRIED
            message.options["retries"] = message.options.get("retries", 0) + charged
            if settle_as is None:
                self._enqueue(message, outcome.delay_ms)
        raise SkipMessage(f"{kind}: {outcome.reason or outcome.detail or ''}")

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


def delivery_of(message: MessageProxy) -> Delivery:
    """A message of dramatiq as the layers see a delivery; its times are by the publisher's clock.

    One of Callboard's broker comes in a delivery, with the server's clock and what is remembered of it.
    """
    identity = f"{message.actor_name}:{message.message_id}"
    own: Delivery | None = getattr(message, "delivery", None)
    if own is not None:
        header = _header(message, own.accepted_at, own.due_at)
        return Delivery(identity, message.queue_name, own.fence, header, own.clock, own.history)
    accepted = message.message_timestamp
    due = message.options.setdefault(_DUE, message.options.get("eta") or accepted)
    history = History(attempts=message.options.get("retries", 0))
    return Delivery(identity, message.queue_name, 0, _header(message, accepted, due), WallClock(), history)


def _header(message: MessageProxy, accepted: int, due: int) -> bytes:
    return fingerprint_of(message) + b"%013d%013d" % (accepted, due)


def fingerprint_of(message: MessageProxy) -> bytes:
    """16 hexadecimal digits that tell a message's arguments from others."""
    said = dramatiq.get_encoder().encode({"args": list(message.args), "kwargs": message.kwargs})
    return blake2b(said, digest_size=8).hexdigest().encode()
