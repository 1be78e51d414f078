"""What the tests of actors share: contracts, apps, workers that stop, and waiting with a deadline."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import dramatiq

from callboard import Callboard, Command, Event, MemoryMailbox
from callboard.actors.mailbox.mailbox import (
    EndedRecord,
    Fetched,
    Mailbox,
    MailboxInfo,
    Posting,
    QueueInfo,
    RouteBook,
    Settlement,
    Subscription,
    Verdict,
)
from callboard.messages.delivery import Delivery
from callboard.middleware.retry import Retry

DEADLINE = 20.0
"""How long a test waits for a thing before it fails, seconds."""

AT_ONCE = Retry.every("1 ms", max_attempts=3)
"""Fails for good after three quick attempts."""


class OrderPlaced(Event, name="order.placed", key="order_id"):
    """What most tests publish."""

    order_id: str
    total: float = 0.0


class OrderShipped(Event, name="order.shipped"):
    """What some handlers publish."""

    order_id: str


class SendReceipt(Command, name="receipt.send"):
    """What exactly one actor must handle."""

    order_id: str


def new_app(mailbox: Mailbox | None = None, **options: object) -> Callboard:
    """An app on a mailbox in memory, or on the one given."""
    return Callboard("shop", mailbox=MemoryMailbox() if mailbox is None else mailbox, **options)  # type: ignore[arg-type]  # options are the caller's


def until(condition: Callable[[], object], what: str, *, within: float = DEADLINE) -> None:
    """Wait until something holds; fails the test, saying what it waited for, when it takes too long."""
    give_up_at = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {within:g} s for {what}"
        time.sleep(0.002)


def queue_of(app: Callboard, name: str = "default") -> QueueInfo:
    """The state of a queue; all zero if it was never used."""
    return next((queue for queue in app.mailbox.info().queues if queue.queue == name), QueueInfo(name))


def is_at_rest(app: Callboard) -> bool:
    """Whether no queue holds anything."""
    return not any(q.ready + q.leased + q.scheduled + q.suspects for q in app.mailbox.info().queues)


@contextmanager
def working(app: Callboard, *, threads: int = 4, stop_within: float = DEADLINE) -> Iterator[dramatiq.Worker]:
    """A worker of an app, stopped at the end as a signal would stop it."""
    worker = dramatiq.Worker(app.broker, worker_threads=threads, worker_timeout=20)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(timeout=round(stop_within * 1000))


def work_off(app: Callboard, *, threads: int = 4) -> None:
    """Run a worker until nothing is left to do."""
    with working(app, threads=threads):
        until(lambda: is_at_rest(app), f"rest: {app.mailbox.info().queues}")


class FaultyMailbox:
    """Hands everything on to a mailbox, after raising the errors it was given for a method."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.faults: dict[str, list[Exception | None]] = {}
        """What the next calls of a method raise, in order; None for a call that does its work."""
        self.calls: list[str] = []

    def fail(self, method: str, error: Exception, times: int = 1) -> None:
        """Let the next calls of a method fail, before they do anything."""
        self.faults.setdefault(method, []).extend([error] * times)

    def _on(self, method: str) -> Mailbox:
        self.calls.append(method)
        fault = self.faults[method].pop(0) if self.faults.get(method) else None
        if fault is not None:
            raise fault
        return self.mailbox

    def publish(self, postings: Sequence[Posting], routes_version: int | None = None) -> list[list[Verdict]]:
        return self._on("publish").publish(postings, routes_version)

    def fetch(self, queue: str, limit: int, *, owner: str, lease_ms: int, alone: bool = False) -> Fetched:
        return self._on("fetch").fetch(queue, limit, owner=owner, lease_ms=lease_ms, alone=alone)

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return self._on("settle").settle(settlements)

    def renew(self, deliveries: Sequence[Delivery], lease_ms: int) -> list[Delivery]:
        return self._on("renew").renew(deliveries, lease_ms)

    def wait(self, queue: str, seconds: float) -> bool:
        return self._on("wait").wait(queue, seconds)

    def register(self, subscriptions: Sequence[Subscription]) -> None:
        self._on("register").register(subscriptions)

    def routes(self) -> RouteBook:
        return self._on("routes").routes()

    def heartbeat(self, owner: str, *, leaving: bool = False) -> None:
        self._on("heartbeat").heartbeat(owner, leaving=leaving)

    def info(self) -> MailboxInfo:
        return self._on("info").info()

    def ended(self, queue: str, limit: int = 100) -> list[EndedRecord]:
        return self._on("ended").ended(queue, limit)

    def purge(self, queue: str) -> int:
        return self._on("purge").purge(queue)

    def close(self) -> None:
        self._on("close").close()
