"""What an outcome of a plain dramatiq actor is to dramatiq: an exception that it acts upon."""

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware import SkipMessage

from ..messages.delivery import Outcome, OutcomeKind
from .attempt import Attempt


class DeadLettered(dramatiq.DramatiqError):
    """Raised out of a plain actor whose message is dead for another reason than an exception of its own."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"{outcome.reason}: {outcome.detail or ''}")  # type: ignore[no-untyped-call]  # dramatiq's is not typed


class Again(SkipMessage):
    """Raised out of a plain actor whose next attempt is enqueued before this one is acknowledged."""

    def __init__(self, words: str, delay_ms: int) -> None:
        super().__init__(words)
        self.delay_ms = delay_ms


def answer(message: MessageProxy, attempt: Attempt, outcome: Outcome) -> BaseException:
    """What makes dramatiq acknowledge or dead-letter a message whose attempt did not succeed.

    A message of Callboard's broker is told the outcome, for it is settled in one step.
    """
    kind, error = outcome.kind, attempt.exception
    if kind is OutcomeKind.RETRIED and attempt.policy.retry is None and error is not None:
        return error  # dramatiq's own retries have the say
    settle_as = getattr(message, "settle_as", None)
    if settle_as is not None:
        settle_as(outcome, attempt.history(outcome.error))
    if kind is OutcomeKind.DEAD:
        error = error or DeadLettered(outcome)
        message.fail()
        if attempt.policy.retry is None:
            message.options["throws"] = type(error)  # or dramatiq would retry what is dead
        return error
    words = f"{kind}: {outcome.reason or outcome.detail or ''}"
    if kind not in (OutcomeKind.RETRIED, OutcomeKind.RELEASED):
        return SkipMessage(words)
    charged = kind is OutcomeKind.RETRIED
    message.options["retries"] = message.options.get("retries", 0) + charged
    return SkipMessage(words) if settle_as is not None else Again(words, outcome.delay_ms)
