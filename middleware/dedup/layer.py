"""The layer that claims a delivery's key in a store before the handler runs, and settles it afterwards."""

import os
import random
import socket
import threading
import time
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ...messages.delivery import Outcome, OutcomeKind, Reason
from ...messages.errors import InvalidKey, StoreError, StoreUnavailable
from ..discard import after_failure
from .keys import key_of
from .option import DEFAULT_WINDOW_MS, Dedup
from .renewer import Ending, Held, Renewer
from .store import Claim, ClaimVerdict, DedupStore

if TYPE_CHECKING:
    from ..attempt import Attempt, Policy

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.dedup")

DEFERRED_MS = 1000
"""How long a delivery waits at most whose key another works on, before it asks again."""

UNREACHABLE_MS = 2000
"""How long a delivery waits at most when the store cannot be asked; at least half of it, drawn by chance."""

COMPLETE = (OutcomeKind.SUCCEEDED, OutcomeKind.DUPLICATE)


def wants_store(policy: "Policy") -> bool:
    """Whether an actor has a dedup store of its own, so that the layer stands around it."""
    return policy.dedup is not None and policy.dedup.store is not None


class Deduplicate:
    """The layer; one object serves any number of actors and stores."""

    def __init__(self) -> None:
        self._renewers: dict[int, Renewer] = {}
        self._lock = threading.Lock()

    def __call__(self, attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
        """Claim, let the handler run if the key is fresh, and settle the claim."""
        said = attempt.policy.dedup
        if said is None or said.store is None:
            return (yield)
        renewer = self._renewer(said.store)
        asked_at = time.monotonic()
        try:
            claim = _claim(attempt, said, renewer)
        except InvalidKey as error:
            return Outcome(OutcomeKind.DEAD, Reason.INVALID_BODY, str(error))
        except StoreError as error:
            logger.warning("the handler does not run without its dedup store", error=str(error))
            return _released(f"dedup: {error}", round(UNREACHABLE_MS * random.uniform(0.5, 1)))  # noqa: S311 - spreads load
        held = Held(claim, asked_at + said.lease_ms / 1000, lambda: not attempt.is_stuck)
        if claim.verdict is not ClaimVerdict.FRESH:
            return _answered(renewer, held)
        renewer.hold(held)
        try:
            # Decided here already, for what the discard layer ends must be forgotten.
            outcome = after_failure(attempt.policy.discard, attempt, (yield))
        finally:
            renewer.drop(held)
        return _settled(renewer, held, outcome, _window_ms(attempt, said))

    def close(self, seconds: float) -> None:
        """Write what could not be written yet, for at most so many seconds a store, and end the threads."""
        for renewer in self._renewers.values():
            if unwritten := renewer.close(seconds):
                logger.error("ends of attempts could not be written in the dedup store", count=unwritten)

    def _renewer(self, store: DedupStore) -> Renewer:
        known = self._renewers.get(id(store))
        if known is None:
            with self._lock:
                known = self._renewers.setdefault(id(store), Renewer(store))
        return known


def _claim(attempt: "Attempt", said: Dedup, renewer: Renewer) -> Claim:
    key, owner = f"{attempt.policy.actor}:{key_of(attempt, said)}", owner_name()
    try:
        return renewer.store.claim(key, attempt.delivery.fingerprint, owner=owner, lease_ms=said.lease_ms)
    except StoreUnavailable:
        # The claim may have been made: without a word it would be charged as one whose owner was lost.
        unanswered = Claim(key=key, verdict=ClaimVerdict.FRESH, owner=owner, lease_ms=said.lease_ms)
        held = Held(unanswered, time.monotonic() + said.lease_ms / 1000)
        renewer.finish_later(held, _release)
        raise


def _answered(renewer: Renewer, held: Held) -> Outcome:
    """What a delivery comes to whose key is not fresh."""
    match held.claim.verdict:
        case ClaimVerdict.DONE:
            return Outcome(OutcomeKind.DUPLICATE)
        case ClaimVerdict.CONFLICT:
            detail = "its dedup key is known with another body"
            return Outcome(OutcomeKind.DEAD, Reason.PAYLOAD_CONFLICT, detail)
        case ClaimVerdict.POISON:
            poison = Outcome(OutcomeKind.DEAD, Reason.POISON, "its workers were lost, time after time")
            return _settled(renewer, held, poison, 0)
        case _:
            return _released("another works on its dedup key", _wait_ms(held.claim))


def _wait_ms(claim: Claim) -> int:
    return max(1, min(DEFERRED_MS, claim.wait_ms))


def _released(detail: str, delay_ms: int) -> Outcome:
    return Outcome(OutcomeKind.RELEASED, detail=detail, delay_ms=delay_ms)


def _settled(renewer: Renewer, held: Held, outcome: Outcome, window_ms: int) -> Outcome:
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
    return _released("another took its dedup key over", DEFERRED_MS)


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


def _window_ms(attempt: "Attempt", said: Dedup) -> int:
    if said.window_ms is not None:
        return said.window_ms
    contracts = attempt.policy.contracts
    return contracts[attempt.envelope.type] if contracts else DEFAULT_WINDOW_MS


def owner_name() -> str:
    """A name for one claim, from which an operator can find the process."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(6).hex()}"
