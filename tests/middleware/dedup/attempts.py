"""What the tests of the layer share: attempts with a dedup of their own, and stores that fail."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from callboard import Event, Retry
from callboard.actors.mailbox.memory import VirtualClock
from callboard.messages.codec import decode_envelope, encode
from callboard.messages.delivery import Delivery, History, Outcome
from callboard.messages.errors import StoreUnavailable
from callboard.messages.stored import stored_as
from callboard.middleware.attempt import Attempt, Policy
from callboard.middleware.deadline import Watch
from callboard.middleware.dedup.layer import Deduplicate
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.option import Dedup
from callboard.middleware.dedup.store import Claim
from callboard.middleware.discard import Discard
from callboard.middleware.guarded import Guarded, Handler
from callboard.middleware.retry import retry

NOW = 1_700_000_000_000
CONTRACT_WINDOW_MS = 1000
WATCH = Watch()


class OrderPlaced(Event, name="order.placed"):
    """What the attempts are at."""

    order_id: str
    line: int = 1


def attempt(
    said: Dedup | None,
    event: OrderPlaced | None = None,
    *,
    retry_by: Retry | None = None,
    discard: Sequence[Discard] = (),
    attempts: int = 0,
) -> Attempt:
    """An attempt at an event whose envelope was read; its own key is `e-1`."""
    encoded = encode(event or OrderPlaced("A"), id="e-1", source="test")
    stored = stored_as(encoded.fingerprint, NOW, NOW, encoded.body)
    delivery = Delivery("handler:e-1", "default", 7, stored, VirtualClock(NOW), History(attempts=attempts))
    policy = Policy(
        "handler",
        {"order.placed": CONTRACT_WINDOW_MS},
        retry_by or Retry.every("1s"),
        discard=tuple(discard),
        dedup=said,
    )
    made = Attempt(delivery, policy)
    made.envelope, made.event = decode_envelope(encoded.body), event or OrderPlaced("A")
    return made


def message(said: Dedup, *args: object, **kwargs: object) -> Attempt:
    """An attempt at a plain dramatiq message."""
    delivery = Delivery("plain:m-1", "default", 0, b"0" * 16, VirtualClock(NOW))
    made = Attempt(delivery, Policy("plain", {}, None, dedup=said))
    made.arguments = (args, kwargs)
    return made


def perform(layer: Deduplicate, made: Attempt, invoke: Callable[[Attempt], Any] = lambda _: None) -> Outcome:
    """Run an attempt within the layer and the retry layer, as the stack does."""
    return Guarded(Handler(invoke, made.policy), [layer, retry], WATCH).perform(made)


def raising(error: BaseException) -> Callable[[Attempt], Any]:
    """A handler that fails."""

    def invoke(made: Attempt) -> None:
        raise error

    return invoke


class FailingStore(MemoryDedupStore):
    """Memory that cannot be reached for as many calls as is said; it tells when it renewed or ended."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0
        self.forgets_answers = False
        """Whether a call that fails was done all the same."""
        self.renewed = threading.Semaphore(0)
        self.renewing: set[str] = set()
        self.ended = threading.Event()

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        if self.forgets_answers and self.failures:
            super().claim(key, fingerprint, owner=owner, lease_ms=lease_ms, charged=charged)
        self._fail()
        return super().claim(key, fingerprint, owner=owner, lease_ms=lease_ms, charged=charged)

    def renew(self, claim: Claim) -> bool:
        self._fail()
        self.renewing.add(threading.current_thread().name)
        kept = super().renew(claim)
        self.renewed.release()
        return kept

    def commit(self, claim: Claim, window_ms: int) -> bool:
        self._fail()
        kept = super().commit(claim, window_ms)
        self.ended.set()
        return kept

    def release(self, claim: Claim, *, forget: bool = False) -> bool:
        self._fail()
        kept = super().release(claim, forget=forget)
        self.ended.set()
        return kept

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the server cannot be reached")
