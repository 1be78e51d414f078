"""What becomes of one claim in a dedup store: how it is asked for, answered and ended."""

import os
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ...messages.delivery import Outcome, OutcomeKind, Reason
from ...messages.errors import StoreUnavailable
from .keys import key_of
from .option import Dedup
from .renewer import Ending, Held, Renewer
from .store import Claim, ClaimVerdict, DedupStore

if TYPE_CHECKING:
    from ..attempt import Attempt

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.dedup")

DEFERRED_MS = 1000
"""How long a delivery waits at most whose key another works on, before it asks again."""

COMPLETE = (OutcomeKind.SUCCEEDED, OutcomeKind.DUPLICATE)


def is_charged(attempt: "Attempt", in_hand: int) -> bool:
    """Whether its key alone is to blame if its worker is lost; `in_hand` are claims of this process.

    Callboard's mailbox knows: what was lost is run beside others once more, and only then alone. Another
    broker runs nothing alone: there it is what was begun while nothing else had a claim.
    """
    held = attempt.held
    return held.alone if held.fence else in_hand == 1


def claim_of(attempt: "Attempt", said: Dedup, renewer: Renewer, *, charged: bool) -> Claim:
    """Ask the store for the key of an attempt; raises `InvalidKey` and `StoreError`."""
    key, owner = f"{attempt.policy.actor}:{key_of(attempt, said)}", owner_name()
    try:
        return renewer.store.claim(
            key, attempt.delivery.fingerprint, owner=owner, lease_ms=said.lease_ms, charged=charged
        )
    except StoreUnavailable:
        # The claim may have been made: without a word it would be charged as one whose owner was lost.
        unanswered = Claim(key=key, verdict=ClaimVerdict.FRESH, owner=owner, lease_ms=said.lease_ms)
        held = Held(unanswered, time.monotonic() + said.lease_ms / 1000)
        renewer.finish_later(held, _release)
        raise


def answered(renewer: Renewer, held: Held) -> Outcome:
    """What a delivery comes to whose key is not fresh."""
    match held.claim.verdict:
        case ClaimVerdict.DONE:
            return Outcome(OutcomeKind.DUPLICATE)
        case ClaimVerdict.CONFLICT:
            detail = "its dedup key is known with another body"
            return Outcome(OutcomeKind.DEAD, Reason.PAYLOAD_CONFLICT, detail)
        case ClaimVerdict.POISON:
            poison = Outcome(OutcomeKind.DEAD, Reason.POISON, "its workers were lost, time after time")
            return settled(renewer, held, poison, 0)
        case _:
            return released("another works on its dedup key", _wait_ms(held.claim))


def _wait_ms(claim: Claim) -> int:
    return max(1, min(DEFERRED_MS, claim.wait_ms))


def released(detail: str, delay_ms: int) -> Outcome:
    """Not started, and to be tried again."""
    return Outcome(OutcomeKind.RELEASED, detail=detail, delay_ms=delay_ms)


def settled(renewer: Renewer, held: Held, outcome: Outcome, window_ms: int) -> Outcome:
    """Write what an attempt came to; its outcome, unless another has taken the key over."""
    ending = _ending(outcome.kind, window_ms)
    try:
        kept = ending(renewer.store, held.claim)
    except Exception as error:  # noqa: BLE001 - whatever ails the store, the handler's outcome is what it is
        logger.warning("the dedup store could not be told yet", kind=outcome.kind.value, error=str(error))
        renewer.finish_later(held, ending)
        return outcome
    if kept or outcome.kind not in COMPLETE:
        return outcome
    logger.warning("fenced off: another has its dedup key now", owner=held.claim.owner)
    return released("another took its dedup key over", DEFERRED_MS)


def _ending(kind: OutcomeKind, window_ms: int) -> Ending:
    if kind in COMPLETE:
        return partial(_commit, window_ms)
    return _forget if kind in (OutcomeKind.DEAD, OutcomeKind.DISCARDED) else _release


def _commit(window_ms: int, store: DedupStore, claim: Claim) -> bool:
    return store.commit(claim, window_ms)


def _release(store: DedupStore, claim: Claim) -> bool:
    return store.release(claim)


def _forget(store: DedupStore, claim: Claim) -> bool:
    return store.release(claim, forget=True)


def owner_name() -> str:
    """A name for one claim, from which an operator can find the process."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(6).hex()}"
