"""What the suite over all mailboxes is written with: a stage that hides the server and how time passes."""

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import redis

from callboard.actors.mailbox.infos import MailboxInfo, QueueInfo
from callboard.actors.mailbox.mailbox import (
    MIN_WINDOW_MS,
    Fetched,
    Mailbox,
    Posting,
    Settlement,
    Target,
    Verdict,
)
from callboard.actors.mailbox.memory import MemoryMailbox, VirtualClock
from callboard.messages.delivery import Delivery, History, Outcome, OutcomeKind, Reason

QUEUE = "orders"
WORKER = "worker-1"
LONG = 600_000
"""A lease or delay that does not end within a test, milliseconds."""
BRIEF = 30
"""A lease or delay that a test waits for, milliseconds."""
DEADLINE = 20.0
"""How long a test waits for a thing before it fails, seconds."""


def fingerprint(body: bytes) -> bytes:
    """16 hexadecimal digits that tell one body from another."""
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()


def target(
    key: str = "A-1",
    *,
    actor: str = "receipt",
    queue: str = QUEUE,
    window_ms: int = MIN_WINDOW_MS,
    lane: str = "",
) -> Target:
    """A delivery to be made."""
    return Target(actor, queue, key, window_ms, lane)


def posting(*targets: Target, body: bytes = b"{}", delay_ms: int = 0, due_at: int = 0) -> Posting:
    """An event on its way in, for one default target if none is named."""
    whom = targets or (target(),)
    return Posting("order.placed", body, fingerprint(body), whom, delay_ms=delay_ms, due_at=due_at)


def retried(delay_ms: int = 0) -> Outcome:
    """An outcome that asks for another attempt."""
    return Outcome(OutcomeKind.RETRIED, delay_ms=delay_ms)


SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED)
DUPLICATE = Outcome(OutcomeKind.DUPLICATE)
RELEASED = Outcome(OutcomeKind.RELEASED)
DEAD = Outcome(OutcomeKind.DEAD, Reason.REJECTED, detail="no such customer")
DISCARDED = Outcome(OutcomeKind.DISCARDED, Reason.MAX_AGE)

OUTCOMES = [SUCCEEDED, DUPLICATE, DEAD, DISCARDED, RELEASED, retried(), retried(LONG)]


def name_of(outcome: Outcome) -> str:
    """What a test's id says of an outcome."""
    return outcome.kind.value if not outcome.delay_ms else f"{outcome.kind} later"


def settlement(delivery: Delivery, outcome: Outcome = SUCCEEDED, *postings: Posting) -> Settlement:
    """An outcome as a settler would hand it in, with one more attempt in its history."""
    charged = msgspec.structs.replace(delivery.history, attempts=delivery.attempt)
    return Settlement(delivery, outcome, history=charged, postings=postings)


def queue_of(info: MailboxInfo, name: str) -> QueueInfo:
    """The state of a queue; all zero if it was never used."""
    return next((queue for queue in info.queues if queue.queue == name), QueueInfo(name))


def check_conservation(info: MailboxInfo) -> None:
    """Whatever was accepted, or replayed, is in exactly one place or has ended once (invariant I2)."""
    for queue in info.queues:
        assert queue.accepted + queue.replayed == queue.live + queue.ended, queue


class Stage(ABC):
    """One empty workspace of a mailbox; each step taken through it checks that nothing was lost."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    @abstractmethod
    def now(self) -> int:
        """The mailbox's time, epoch milliseconds."""

    @abstractmethod
    def let_pass(self, ms: int) -> None:
        """Return when the mailbox's time is `ms` milliseconds later."""

    @abstractmethod
    def elsewhere(self) -> Mailbox:
        """A mailbox of another workspace, if possible on the same server."""

    def close(self) -> None:
        """Let go of what this stage opened."""
        self.mailbox.close()

    def queue(self, name: str = QUEUE) -> QueueInfo:
        """The state of one queue, with all of them checked."""
        info = self.mailbox.info()
        check_conservation(info)
        return queue_of(info, name)

    def publish(self, *postings: Posting) -> list[list[Verdict]]:
        """Publish, and check."""
        verdicts = self.mailbox.publish(postings or (posting(),))
        self.queue()
        return verdicts

    def publish_keys(self, *keys: str) -> None:
        """One accepted delivery a key."""
        verdicts = self.publish(*(posting(target(key), body=key.encode()) for key in keys))
        assert verdicts == [[Verdict.ACCEPTED]] * len(keys)

    def fetch(
        self,
        limit: int = 100,
        *,
        queue: str = QUEUE,
        owner: str = WORKER,
        lease_ms: int = LONG,
        alone: bool = False,
    ) -> Fetched:
        """Fetch, and check."""
        fetched = self.mailbox.fetch(queue, limit, owner=owner, lease_ms=lease_ms, alone=alone)
        self.queue()
        return fetched

    def take(self, *, lease_ms: int = LONG, alone: bool = False) -> Delivery:
        """The one delivery that can be fetched now."""
        (delivery,) = self.fetch(1, lease_ms=lease_ms, alone=alone).deliveries
        return delivery

    def take_when_due(self, queue: str = QUEUE) -> Delivery:
        """The next delivery, however long it takes to become due."""
        for _ in self.patience():
            for delivery in self.fetch(1, queue=queue).deliveries:
                return delivery
            self.let_pass(1)
        raise AssertionError(f"nothing came due in {queue}")

    def lose(self, *, alone: bool = False, limit: int = 100) -> list[Delivery]:
        """Fetch as a worker that is never heard of again, and let its leases run out."""
        lost = self.fetch(limit, lease_ms=BRIEF, alone=alone, owner="lost").deliveries
        self.let_pass(BRIEF)
        return lost

    def settle(self, *settlements: Settlement) -> list[bool]:
        """Settle, and check."""
        held = self.mailbox.settle(settlements)
        self.queue()
        return held

    def patience(self) -> Iterator[None]:
        """Go round until the deadline is over."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            yield


class VirtualStage(Stage):
    """Memory, where time passes when it is told to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        super().__init__(MemoryMailbox(clock=self.clock))

    def now(self) -> int:
        return self.clock.now()

    def let_pass(self, ms: int) -> None:
        self.clock.advance(ms)

    def elsewhere(self) -> Mailbox:
        return MemoryMailbox(clock=self.clock)


class LiveStage(Stage):
    """A mailbox in real time."""

    def let_pass(self, ms: int) -> None:
        end = self.now() + ms
        while self.now() < end:
            time.sleep(0.001)


class MemoryStage(LiveStage):
    """Memory by this machine's clock."""

    def __init__(self) -> None:
        super().__init__(MemoryMailbox())

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def elsewhere(self) -> Mailbox:
        return MemoryMailbox()


class ServerStage(LiveStage):
    """A workspace of its own on a server, by the server's clock."""

    def __init__(
        self, url: str, open_mailbox: Callable[[], Mailbox], open_other: Callable[[], Mailbox]
    ) -> None:
        super().__init__(open_mailbox())
        self._open_other = open_other
        self.client = redis.Redis.from_url(url)

    def now(self) -> int:
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000

    def elsewhere(self) -> Mailbox:
        return self._open_other()

    def close(self) -> None:
        super().close()
        self.client.close()


@contextmanager
def waiting(stage: Stage, seconds: float = 60.0) -> Iterator[list[bool]]:
    """A thread that waits for something in the queue; its answer is there when the block ends."""
    answers: list[bool] = []
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        answers.append(stage.mailbox.wait(QUEUE, seconds))

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(DEADLINE)
    # By then it blocks, most likely; if it does not yet, it must notice what happened before.
    stage.let_pass(BRIEF)
    yield answers
    thread.join(DEADLINE)
    assert not thread.is_alive()


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    """Their ids, in order."""
    return [delivery.id for delivery in deliveries]


def charged(attempts: int, crashes: int = 0) -> History:
    """A history without errors."""
    return History(attempts=attempts, crashes=crashes)
