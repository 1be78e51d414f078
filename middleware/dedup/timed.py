"""A dedup store with its calls timed and its verdicts counted, where metrics are on."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ...observability.recorder import Recorder
from .store import Claim, DedupStore

T = TypeVar("T")


class TimedStore:
    """The same store, called by its class among stores; implements `DedupStore`."""

    def __init__(self, store: DedupStore, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._name = type(store).__name__

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        """See `DedupStore.claim`; the verdict is counted."""
        call = partial(self._store.claim, key, fingerprint, owner=owner, lease_ms=lease_ms, charged=charged)
        claim = self._timed("claim", call)
        self._recorder.claimed(self._name, claim.verdict.value)
        return claim

    def renew(self, claim: Claim) -> bool:
        """See `DedupStore.renew`."""
        return self._timed("renew", partial(self._store.renew, claim))

    def commit(self, claim: Claim, window_ms: int) -> bool:
        """See `DedupStore.commit`."""
        return self._timed("commit", partial(self._store.commit, claim, window_ms))

    def release(self, claim: Claim, *, forget: bool = False) -> bool:
        """See `DedupStore.release`."""
        return self._timed("release", partial(self._store.release, claim, forget=forget))

    def close(self) -> None:
        """See `DedupStore.close`."""
        self._store.close()

    def _timed(self, operation: str, call: Callable[[], T]) -> T:
        return self._recorder.timed(self._name, operation, call)
