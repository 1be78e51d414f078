"""The interface of a dedup store: who may work on a key, and which keys were completed."""

from enum import StrEnum
from typing import Protocol

import msgspec

from ...messages.timing import MAX_AFTER_MS

TAKEOVER_LIMIT = 3
"""How often a charged claim may be lost before its key is `poison`, where nothing else is said."""

REMEMBERED_MS = 2 * MAX_AFTER_MS
"""How long a key that is not completed is remembered after it was last claimed or released: far beyond
the longest wait there is, for a delivery that waits is remembered however long it waits."""

ANSWERED_MS = 120_000
"""How long at least a commit or release that is sent twice is answered as it was the first time."""


class ClaimVerdict(StrEnum):
    """What a store answers to a claim."""

    FRESH = "fresh"
    """The key is yours until the lease ends."""
    IN_PROGRESS = "in_progress"
    """Another owner has it."""
    DONE = "done"
    """It was completed within its window."""
    CONFLICT = "conflict"
    """It is known with another fingerprint."""
    POISON = "poison"
    """Too many owners were lost over it; nobody gets it until it is released with `forget`."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a store answered, and what proves to it that a key is held."""

    key: str
    verdict: ClaimVerdict
    owner: str
    lease_ms: int
    fence: int = 0
    """Grows with every claim of a key that was `fresh`; of `poison` it is the lost owner's, of others 0.
    Also 0 for a claim to which no answer came: its release is known by its owner."""
    takeovers: int = 0
    """How many owners that were charged have lost the key since it was last completed or forgotten."""
    wait_ms: int = 0
    """For `in_progress`: until the other owner's lease ends if it is not renewed."""


class DedupStore(Protocol):
    """Remembers keys that are worked on, wait for another attempt or were completed.

    A store is safe to use from many threads at once. Time is the store's. Every method raises
    `StoreUnavailable` when the store cannot be reached and `StoreRefused` when it will not do what was
    asked, and may be called again after either without doing its work twice.
    """

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        """Ask for a key; `fingerprint` tells one body from another under the same key.

        `owner` names this one claim: the same owner asking again gets the same answer, so that a claim
        may be sent again when no answer came. A lease that ends without a release is taken over by the
        next claim. What was `charged` counts as a takeover then, up to the store's limit: say so where
        nothing but this key can have taken its worker down.
        """
        ...

    def renew(self, claim: Claim) -> bool:
        """Let the lease run for `claim.lease_ms` from now; False if the key is no longer held."""
        ...

    def commit(self, claim: Claim, window_ms: int) -> bool:
        """Remember the key as done for `window_ms` from now; False, changing nothing, if it is not held."""
        ...

    def release(self, claim: Claim, *, forget: bool = False) -> bool:
        """Let the key go, for a next attempt; False, changing nothing, if another has held it since.

        Its fingerprint, fence and takeovers stay remembered, unless `forget` makes the key free again.
        """
        ...

    def close(self) -> None:
        """Let go of connections; later calls raise `StoreUnavailable`."""
        ...
