"""The dedup store in this process's memory: for tests, and for apps of a single process."""

import heapq
import threading
import time
from dataclasses import dataclass

from ...messages.delivery import Clock
from ...messages.errors import StoreUnavailable
from .store import ANSWERED_MS, REMEMBERED_MS, TAKEOVER_LIMIT, Claim, ClaimVerdict


class MonotonicClock:
    """Milliseconds that only grow; they count from no moment in particular."""

    def now(self) -> int:
        """Milliseconds."""
        return time.monotonic_ns() // 1_000_000


@dataclass(slots=True)
class _Known:
    """What is remembered of a key."""

    forgotten_at: int = 0
    """When all of this is forgotten, milliseconds of the store's clock."""
    fingerprint: bytes | None = None
    """None when the key is free, and only its last settlement is remembered."""
    fence: int = 0
    owner: str = ""
    lease_ends: int | None = None
    """None when nobody holds it."""
    done_until: int = 0
    charged: bool = True
    """Whether it counts as a takeover if its owner is lost."""
    takeovers: int = 0
    settled: tuple[str, int] = ("", 0)
    """The last settlement that ended it, and by which fence."""


class MemoryDedupStore:
    """Keeps keys as long as this object lives; implements `DedupStore`.

    Its clock only ever grows, unless another is given; `takeover_limit` is how many charged owners may be
    lost over a key before it is poison.
    """

    def __init__(self, *, clock: Clock | None = None, takeover_limit: int = TAKEOVER_LIMIT) -> None:
        self._clock: Clock = MonotonicClock() if clock is None else clock
        self._limit = takeover_limit
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._ends: list[tuple[int, str]] = []
        self._last_fence = 0
        self._closed = False

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        """See `DedupStore.claim`."""
        with self._lock:
            now = self._now()
            known = self._of(key, now)
            verdict = self._judge(known, fingerprint, owner, now)
            wait_ms = 0
            if verdict is ClaimVerdict.FRESH:
                self._take(known, fingerprint, owner, now, charged=charged)
                known.lease_ends = now + lease_ms
                self._keep(key, known, now + REMEMBERED_MS)
            elif verdict is ClaimVerdict.IN_PROGRESS and known.lease_ends is not None:
                wait_ms = known.lease_ends - now
            return Claim(
                key=key,
                verdict=verdict,
                owner=owner,
                lease_ms=lease_ms,
                fence=known.fence if verdict in (ClaimVerdict.FRESH, ClaimVerdict.POISON) else 0,
                takeovers=known.takeovers,
                wait_ms=wait_ms,
            )

    def renew(self, claim: Claim) -> bool:
        """See `DedupStore.renew`."""
        with self._lock:
            now = self._now()
            known = self._of(claim.key, now)
            held = _holds(known, claim)
            if held:
                known.lease_ends = now + claim.lease_ms
            return held

    def commit(self, claim: Claim, window_ms: int) -> bool:
        """See `DedupStore.commit`."""
        with self._lock:
            now = self._now()
            known = self._of(claim.key, now)
            settled = ("done", claim.fence)
            if not _holds(known, claim):
                return known.settled == settled
            done = _Known(fingerprint=known.fingerprint, done_until=now + window_ms, settled=settled)
            self._keep(claim.key, done, now + max(window_ms, ANSWERED_MS))
            return True

    def release(self, claim: Claim, *, forget: bool = False) -> bool:
        """See `DedupStore.release`."""
        with self._lock:
            now = self._now()
            known = self._of(claim.key, now)
            if known.fingerprint is None or not _is_latest(known, claim):
                return forget and known.settled == ("forgotten", claim.fence)
            if forget:
                self._keep(claim.key, _Known(settled=("forgotten", known.fence)), now + ANSWERED_MS)
            else:
                known.lease_ends = None
                self._keep(claim.key, known, now + REMEMBERED_MS)
            return True

    def close(self) -> None:
        """See `DedupStore.close`."""
        self._closed = True

    def __len__(self) -> int:
        """How many keys are remembered, those included whose time is over but that were not cleared yet."""
        return len(self._known)

    def _now(self) -> int:
        if self._closed:
            raise StoreUnavailable("this dedup store was closed: make a new one")
        return self._clock.now()

    def _of(self, key: str, now: int) -> _Known:
        """What is known of a key now; a key that is free has no fingerprint."""
        while self._ends and self._ends[0][0] <= now:
            over = heapq.heappop(self._ends)[1]
            if over in self._known and self._known[over].forgotten_at <= now:
                del self._known[over]
        known = self._known.get(key) or _Known()
        if known.done_until and known.done_until <= now:
            known.fingerprint, known.done_until = None, 0
        return known

    def _keep(self, key: str, known: _Known, until: int) -> None:
        known.forgotten_at = until
        self._known[key] = known
        heapq.heappush(self._ends, (until, key))

    def _judge(self, known: _Known, fingerprint: bytes, owner: str, now: int) -> ClaimVerdict:
        if known.fingerprint is None:
            return ClaimVerdict.FRESH
        if known.fingerprint != fingerprint:
            return ClaimVerdict.CONFLICT
        if known.done_until:
            return ClaimVerdict.DONE
        if known.lease_ends is None or known.owner == owner:
            return ClaimVerdict.FRESH
        if now < known.lease_ends:
            return ClaimVerdict.IN_PROGRESS
        is_poison = known.charged and known.takeovers >= self._limit
        return ClaimVerdict.POISON if is_poison else ClaimVerdict.FRESH

    def _take(self, known: _Known, fingerprint: bytes, owner: str, now: int, *, charged: bool) -> None:
        if known.lease_ends is not None:
            if known.owner == owner:
                return
            known.takeovers += known.charged and known.lease_ends <= now
        self._last_fence += 1
        known.fence, known.owner, known.fingerprint = self._last_fence, owner, fingerprint
        known.charged = charged


def _holds(known: _Known, claim: Claim) -> bool:
    return known.lease_ends is not None and known.fence == claim.fence


def _is_latest(known: _Known, claim: Claim) -> bool:
    """Whether nobody has claimed the key since; a claim without an answer is known by its owner."""
    if known.done_until:
        return False
    return known.owner == claim.owner if claim.fence == 0 else known.fence == claim.fence
