"""The layer that claims a delivery's key in a store before the handler runs, and settles it afterwards."""

import random
import threading
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

import structlog

from ...messages.delivery import Outcome, OutcomeKind, Reason
from ...messages.errors import InvalidKey, StoreError
from ...observability.recorder import Recorder
from ..discard import after_failure
from .claims import answered, claim_of, is_charged, released, settled
from .option import DEFAULT_WINDOW_MS, Dedup
from .renewer import Held, Renewer
from .store import ClaimVerdict, DedupStore
from .timed import TimedStore

if TYPE_CHECKING:
    from ..attempt import Attempt, Policy

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.dedup")

UNREACHABLE_MS = 2000
"""How long a delivery waits at most when the store cannot be asked; at least half of it, drawn by chance."""


def wants_store(policy: "Policy") -> bool:
    """Whether an actor has a dedup store of its own, so that the layer stands around it."""
    return policy.dedup is not None and policy.dedup.store is not None


class Deduplicate:
    """The layer; one object serves any number of actors and stores."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        self._renewers: dict[int, Renewer] = {}
        self._lock = threading.Lock()
        self._has_ended = threading.Condition(self._lock)
        self._in_hand: set[Attempt] = set()
        """Attempts of this process that ask for a claim or have one."""

    def __call__(self, attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
        """Claim, let the handler run if the key is fresh, and settle the claim."""
        said = attempt.policy.dedup
        if said is None or said.store is None:
            return (yield)
        renewer = self._renewer(said.store)
        try:
            with self._lock:
                self._in_hand.add(attempt)
                charged = is_charged(attempt, len(self._in_hand))
            return (yield from _guard(attempt, said, renewer, charged=charged))
        finally:
            with self._has_ended:
                self._in_hand.discard(attempt)
                self._has_ended.notify_all()

    def close(self, seconds: float) -> None:
        """Write what could not be written yet, for at most so many seconds a store, and end the threads.

        A claim that was asked for when its attempt was cancelled is awaited first, for then it is let go.
        """
        with self._has_ended:
            self._has_ended.wait_for(lambda: all(each.is_stuck for each in self._in_hand), seconds)
        for renewer in self._renewers.values():
            if unwritten := renewer.close(seconds):
                logger.error("ends of attempts could not be written in the dedup store", count=unwritten)

    def _renewer(self, store: DedupStore) -> Renewer:
        known = self._renewers.get(id(store))
        if known is None:
            with self._lock:
                asked = store if self._recorder is None else TimedStore(store, self._recorder)
                known = self._renewers.setdefault(id(store), Renewer(asked))
        return known


def _guard(
    attempt: "Attempt", said: Dedup, renewer: Renewer, *, charged: bool
) -> Generator[None, Outcome, Outcome]:
    asked_at = time.monotonic()
    try:
        claim = claim_of(attempt, said, renewer, charged=charged)
    except InvalidKey as error:
        return Outcome(OutcomeKind.DEAD, Reason.INVALID_BODY, str(error))
    except StoreError as error:
        logger.warning("the handler does not run without its dedup store", error=str(error))
        return released(f"dedup: {error}", round(UNREACHABLE_MS * random.uniform(0.5, 1)))  # noqa: S311 - spreads load
    held = Held(claim, asked_at + said.lease_ms / 1000, lambda: not attempt.is_stuck)
    if claim.verdict is not ClaimVerdict.FRESH:
        return answered(renewer, held)
    renewer.hold(held)
    try:
        # Decided here already, for what the discard layer ends must be forgotten.
        outcome = after_failure(attempt.policy.discard, attempt, (yield))
    finally:
        renewer.drop(held)
    return settled(renewer, held, outcome, _window_ms(attempt, said))


def _window_ms(attempt: "Attempt", said: Dedup) -> int:
    if said.window_ms is not None:
        return said.window_ms
    contracts = attempt.policy.contracts
    return contracts[attempt.envelope.type] if contracts else DEFAULT_WINDOW_MS
