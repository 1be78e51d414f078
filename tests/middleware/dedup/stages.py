"""What the conformance suite plays on: a store, its time, and what it can do."""

import time
from abc import ABC, abstractmethod

import msgspec
import redis

from callboard.actors.mailbox.memory import MemoryMailbox, VirtualClock
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.redis import RedisDedupStore
from callboard.middleware.dedup.store import Claim, ClaimVerdict, DedupStore
from tests.middleware.dedup.mailbox_store import MailboxStore

LONG = 600_000
"""A lease that does not end within a test, milliseconds."""
BRIEF = 30
"""A lease or window that a test waits for, milliseconds."""
DAY = 86_400_000
BODY, OTHER = b"0123456789abcdef", b"fedcba9876543210"


class Stage(ABC):
    """One empty store."""

    def __init__(self, store: DedupStore) -> None:
        self.store = store
        self._claims = 0

    @abstractmethod
    def let_pass(self, ms: int) -> None:
        """Return when the store's time is `ms` milliseconds later."""

    def close(self) -> None:
        """Let go of what this stage opened."""
        self.store.close()

    def claim(
        self,
        key: str = "A-1",
        body: bytes = BODY,
        *,
        lease_ms: int = LONG,
        owner: str = "",
        charged: bool = True,
    ) -> Claim:
        """Ask for a key, as an owner of its own unless one is named."""
        self._claims += 1
        owner = owner or f"owner-{self._claims}"
        return self.store.claim(key, body, owner=owner, lease_ms=lease_ms, charged=charged)

    def take(
        self, key: str = "A-1", body: bytes = BODY, *, lease_ms: int = LONG, charged: bool = True
    ) -> Claim:
        """Claim a key that must be fresh."""
        claim = self.claim(key, body, lease_ms=lease_ms, charged=charged)
        assert claim.verdict is ClaimVerdict.FRESH
        return claim

    def lose(self, key: str = "A-1", *, charged: bool = True) -> Claim:
        """Claim a key as a worker that is never heard of again, and let its lease run out."""
        lost = self.take(key, lease_ms=BRIEF, charged=charged)
        self.let_pass(BRIEF)
        return lost


def renewed_for(claim: Claim, lease_ms: int) -> Claim:
    """The same claim, whose next renewal asks for another length."""
    return msgspec.structs.replace(claim, lease_ms=lease_ms)


class VirtualStage(Stage):
    """Memory, where time passes when it is told to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        super().__init__(MemoryDedupStore(clock=self.clock))

    def let_pass(self, ms: int) -> None:
        self.clock.advance(ms)


class VirtualMailboxStage(VirtualStage):
    """The memory mailbox, in the same kind of time."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MailboxStore(MemoryMailbox(clock=self.clock))


class MemoryStage(Stage):
    """Memory by its own clock."""

    def __init__(self) -> None:
        super().__init__(MemoryDedupStore())

    def let_pass(self, ms: int) -> None:
        end = time.monotonic_ns() + (ms + 1) * 1_000_000
        while time.monotonic_ns() < end:
            time.sleep(0.001)


class ServerStage(Stage):
    """A namespace of its own on a server, by the server's clock."""

    def __init__(self, url: str, namespace: str, store_url: str) -> None:
        super().__init__(self._open(store_url, namespace))
        self.url = url
        self.namespace = namespace
        self.client = redis.Redis.from_url(url)

    def _open(self, url: str, namespace: str) -> DedupStore:
        return RedisDedupStore(url, namespace)

    def now(self) -> int:
        """The server's time, epoch milliseconds."""
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000

    def let_pass(self, ms: int) -> None:
        end = self.now() + ms
        # A key whose time is over is gone one millisecond later.
        while self.now() <= end:
            time.sleep(0.001)

    def close(self) -> None:
        super().close()
        self.client.close()


class ServerMailboxStage(ServerStage):
    """A workspace of its own of the mailbox on a server."""

    def _open(self, url: str, namespace: str) -> DedupStore:
        return MailboxStore(RedisMailbox(url, workspace=namespace))
