"""A message of a plain dramatiq actor: how it becomes a delivery, and what its attempt comes to."""

from dataclasses import replace
from typing import Any

import dramatiq
import msgspec
import structlog
from dramatiq.broker import MessageProxy
from dramatiq.common import current_millis
from dramatiq.errors import ActorNotFound
from uuid_utils import uuid7

from ..messages.delivery import (
    NO_HISTORY,
    SUCCEEDED,
    Delivery,
    ErrorRecord,
    History,
    Outcome,
    OutcomeKind,
    Reason,
    error_record,
)
from ..middleware.attempt import Attempt
from .mailbox.mailbox import MIN_WINDOW_MS, Posting, Settlement, Target
from .mailbox.records import Facts

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.plain")

_FINGERPRINT = b"0" * 16
"""Every plain message has a key of its own, so its fingerprint is never compared."""

_TOO_OLD = "Message age limit exceeded"
"""What dramatiq's `AgeLimit` says of a message that it skips; it leaves no other sign."""


class PlainMessage(MessageProxy):
    """A message with the delivery that brought it, and what is known of its attempt.

    What hooks enqueue after the attempt is held here until the settlement: the message itself comes
    back as the next attempt of the same delivery, all else goes out with the success.
    """

    def __init__(self, message: dramatiq.Message[Any], delivery: Delivery) -> None:
        super().__init__(message)
        self.delivery = delivery
        self.began = 0.0
        """When its attempt began, by the monotonic clock, seconds; 0 while it has not."""
        self.error: BaseException | None = None
        """What the attempt raised."""
        self.follow_ups: list[Posting] = []
        """What hooks enqueued after the attempt."""
        self.late: Attempt | None = None
        """The attempt that was given up before it ended: hooks and settlement were made in its place."""
        self.given_back = False
        """Its delivery went back before it was started: no hook is told of it, and nothing is settled."""
        self._ran = False
        self._was_skipped = False
        self._again: Posting | None = None
        self._decided: tuple[Outcome, History] | None = None

    def has_run(self, error: BaseException | None) -> None:
        """The attempt has ended, and the hooks after it begin."""
        self._ran, self.error = True, error

    def was_skipped(self) -> None:
        """A middleware would not have it, and the hooks after that begin."""
        self._was_skipped = True

    def has_ended_late(self, attempt: Attempt) -> None:
        """Its attempt was given up before."""
        self.late = attempt

    def settle_as(self, outcome: Outcome, history: History) -> None:
        """The stack around the actor has decided: whether dramatiq acknowledges is not asked any more."""
        self._decided = outcome, history

    def hold(self, message: dramatiq.Message[Any], delay: int | None) -> None:
        """Keep what a hook enqueues until this message is settled; `delay` is in milliseconds."""
        # Not fresh: whoever publishes it may have to try again.
        posting = posting_of(message, delay, fresh=False)
        if self.error is not None and self._again is None and self._is_same(message) and not posting.due_at:
            self._again = posting
        else:
            self.follow_ups.append(posting)

    def acked(self) -> Settlement:
        """What is to be made durable when dramatiq acknowledges the message."""
        if self._decided is not None:
            return self._settlement(*self._decided)
        if self._again is not None:
            outcome = Outcome(OutcomeKind.RETRIED, error=self._error(), delay_ms=self._again.delay_ms)
            return self._settlement(outcome, self._history())
        if self._was_skipped:
            outcome = Outcome(OutcomeKind.DISCARDED, Reason.REJECTED, "skipped by a middleware")
            return self._settlement(outcome, self._history())
        return self._settlement(SUCCEEDED, self._history())

    def nacked(self, throws: object) -> Settlement:
        """What is to be made durable when dramatiq rejects the message; `throws` is its actor's option."""
        if self._again is not None:
            # A middleware had it sent again, and rejected it all the same: dramatiq does both.
            self.follow_ups.append(self._again)
            self._again = None
        if self._decided is not None:
            return self._settlement(*self._decided)
        outcome = Outcome(OutcomeKind.DEAD, self._reason(throws), error=self._error())
        return self._settlement(outcome, self._history())

    def _settlement(self, outcome: Outcome, history: History) -> Settlement:
        if outcome.kind is OutcomeKind.SUCCEEDED:
            is_told = self.delivery.history is not NO_HISTORY
            return Settlement(
                self.delivery,
                outcome,
                history=history,
                postings=tuple(self.follow_ups),
                facts=self._facts() if is_told else None,
            )
        if outcome.kind is OutcomeKind.RELEASED:
            return Settlement(self.delivery, outcome)
        if outcome.kind is OutcomeKind.RETRIED:
            carried = self._again.body if self._again else _encode(self._message)
            history = msgspec.structs.replace(history, carried=carried)
        return Settlement(self.delivery, outcome, history=history, facts=self._facts())

    def _facts(self) -> Facts:
        return Facts(event=self.message_id, owner=self.delivery.owner)

    def _reason(self, throws: object) -> Reason:
        if isinstance(self._exception, ActorNotFound):
            return Reason.UNKNOWN_ACTOR
        if self.error is None:
            return Reason.MAX_AGE if str(self._exception) == _TOO_OLD else Reason.REJECTED
        expected: Any = self.options.get("throws") or throws or ()
        return Reason.REJECTED if isinstance(self.error, expected) else Reason.MAX_ATTEMPTS

    def _error(self) -> ErrorRecord | None:
        error = self.error or self._exception
        return None if error is None else error_record(error, self.delivery.clock.now())

    def _history(self) -> History:
        earlier, error = self.delivery.history, self._error()
        return History(
            attempts=earlier.attempts + self._ran,
            crashes=earlier.crashes,
            first_error=earlier.first_error or error,
            last_error=error or earlier.last_error,
        )

    def _is_same(self, message: dramatiq.Message[Any]) -> bool:
        """Whether a message is this one; its options and what its arguments hold may have changed."""
        here = (self.message_id, self.actor_name, self.queue_name)
        return here == (message.message_id, message.actor_name, message.queue_name)


def message_of(delivery: Delivery) -> PlainMessage:
    """The message in a delivery, as its latest attempt left it; raises dramatiq's `DecodeError`."""
    return PlainMessage(dramatiq.Message.decode(delivery.history.carried or delivery.body), delivery)


def unreadable(delivery: Delivery, error: dramatiq.DecodeError) -> Settlement:
    """What is to be made durable of bytes that are no message."""
    logger.warning("dead: not a message of dramatiq", actor=delivery.actor, queue=delivery.queue)
    return Settlement(delivery, Outcome(OutcomeKind.DEAD, Reason.INVALID_BODY, str(error)))


def posting_of(message: dramatiq.Message[Any], delay: int | None, *, fresh: bool) -> Posting:
    """A delivery of its own for a message. It waits `delay` milliseconds, or else until the option `eta`."""
    key = f"{message.message_id}.{uuid7().hex[-12:]}"
    eta = message.options.get("eta") if delay is None else None
    return Posting(
        "dramatiq.message",
        _encode(message),
        _FINGERPRINT,
        (Target(message.actor_name, message.queue_name, key, MIN_WINDOW_MS),),
        max(0, delay or 0),
        int(eta) if isinstance(eta, int | float) else 0,
        fresh=fresh,
    )


def outgoing(message: dramatiq.Message[Any], delay: int | None) -> dramatiq.Message[Any]:
    """A copy for hooks and the caller, with the option `eta` that dramatiq's brokers give what waits."""
    return message.copy(options={} if delay is None else {"eta": current_millis() + delay})


def _encode(message: dramatiq.Message[Any]) -> bytes:
    """Its bytes without `eta`: the mailbox keeps what waits, and dramatiq's worker would do so again."""
    options = {name: value for name, value in message.options.items() if name != "eta"}
    return replace(message, options=options).encode()
