"""What the tests of actors share: contracts, apps, workers that stop, and waiting with a deadline."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import dramatiq

from callboard import Callboard, Command, Event, MemoryMailbox
from callboard.actors.consumer import CallboardConsumer
from callboard.actors.mailbox.controls import Controls
from callboard.actors.mailbox.correlations import Correlations
from callboard.actors.mailbox.gauges import Gauges
from callboard.actors.mailbox.infos import MailboxInfo, QueueInfo
from callboard.actors.mailbox.ledger import Ledger, Notes
from callboard.actors.mailbox.mailbox import Fetched, Mailbox, Posting, Settlement, Target, Verdict
from callboard.actors.mailbox.records import EndedRecord, Records
from callboard.actors.mailbox.running import Running
from callboard.actors.mailbox.schedule import Schedule
from callboard.actors.mailbox.subscriptions import RouteBook, Subscription
from callboard.actors.mailbox.suspects import EACH_ALONE, Suspects
from callboard.actors.receipt import Receipt
from callboard.actors.worker import WorkerProcess
from callboard.messages.codec import encode
from callboard.messages.delivery import Delivery
from callboard.messages.items import ItemRecord
from callboard.middleware.retry import Retry

DEADLINE = 20.0
"""How long a test waits for a thing before it fails, seconds."""

AT_ONCE = Retry.every("1 ms", max_attempts=3)
"""Fails for good after three quick attempts."""

_ids = count(1)


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


class Blob(Event, name="blob.stored"):
    """What may be as large as a test wants."""

    content: str


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
    return not any(q.live for q in app.mailbox.info().queues)


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


def subscribe(
    app: Callboard, *names: str, to: type[Event] = OrderPlaced, queue: str = "default"
) -> list[tuple[str, Event]]:
    """Actors of these names that tell what they get."""
    seen: list[tuple[str, Event]] = []

    def declare(name: str) -> None:
        def handler(event: Event) -> None:
            seen.append((name, event))

        handler.__annotations__["event"] = to
        app.actor(name=name, queue=queue)(handler)

    for name in names:
        declare(name)
    return seen


def actors_of(receipt: Receipt) -> list[tuple[str, bool]]:
    """Whom a publish reached, and for whom it was a duplicate."""
    return [(delivery.actor, delivery.duplicate) for delivery in receipt.deliveries]


def orders(count: int) -> list[OrderPlaced]:
    """Orders by the names of 0, 1, 2 and so on."""
    return [OrderPlaced(str(number)) for number in range(count)]


def taken(app: Callboard, limit: int = 100, *, queue: str = "default") -> Fetched:
    """What another worker would be given now."""
    return app.mailbox.fetch(queue, limit, owner="another", lease_ms=10_000)


def post(app: Callboard, body: bytes, actor: str = "handler", event: str = "order.placed") -> None:
    """Put bytes into the mailbox that no publisher has looked at."""
    target = Target(actor, "default", f"raw-{next(_ids)}", 0)
    app.mailbox.publish([Posting(event, body, b"0" * 16, (target,))])


def body_of(event: Event, source: str = "elsewhere") -> bytes:
    """An event as a publisher elsewhere would have written it."""
    return encode(event, id=f"id-{next(_ids)}", source=source).body


def ended(app: Callboard) -> EndedRecord:
    """The only record of a dead or discarded delivery."""
    (record,) = app.mailbox.ended("default")
    return record


@contextmanager
def held_by_a_consumer(app: Callboard) -> Iterator[CallboardConsumer]:
    """A consumer without threads, which the test fetches and drains for."""
    process = WorkerProcess(app.broker, app.mailbox, threads=1)
    process.settler.start()
    yield CallboardConsumer(process, "default", 50)
    process.settler.stop(10)
    process.loop._loop.close()


class Witness(dramatiq.Middleware):
    """Tells which hooks fired, for which message."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def before_process_message(self, broker: Any, message: Any) -> None:
        self.told.append(("before", message.message_id))

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        self.told.append(("failed" if exception else "after", message.message_id))

    def after_skip_message(self, broker: Any, message: Any) -> None:
        self.told.append(("skipped", message.message_id))


def recorder(app: Callboard, name: str = "record", **options: Any) -> tuple[Any, list[Any]]:
    """A plain actor and what it was called with."""
    seen: list[Any] = []

    @dramatiq.actor(broker=app.broker, actor_name=name, **options)
    def record(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs))

    return record, seen


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

    @property
    def controls(self) -> Controls:
        return self._on("controls").controls

    @property
    def running(self) -> Running:
        return self._on("running").running

    @property
    def schedule(self) -> Schedule:
        return self._on("schedule").schedule

    @property
    def correlations(self) -> Correlations:
        return self._on("correlations").correlations

    @property
    def gauges(self) -> Gauges:
        return self._on("gauges").gauges

    @property
    def records(self) -> Records:
        return self._on("records").records

    @property
    def ledger(self) -> Ledger:
        return FaultyLedger(self)

    def publish(self, postings: Sequence[Posting], routes_version: int | None = None) -> list[list[Verdict]]:
        return self._on("publish").publish(postings, routes_version)

    def fetch(
        self,
        queue: str,
        limit: int,
        *,
        owner: str,
        lease_ms: int,
        alone: bool = False,
        suspects: Suspects = EACH_ALONE,
    ) -> Fetched:
        mailbox = self._on("fetch")
        return mailbox.fetch(queue, limit, owner=owner, lease_ms=lease_ms, alone=alone, suspects=suspects)

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return self._on("settle").settle(settlements)

    def renew(self, deliveries: Sequence[Delivery], lease_ms: int) -> list[Delivery]:
        return self._on("renew").renew(deliveries, lease_ms)

    def wait(self, queue: str, seconds: float) -> bool:
        return self._on("wait").wait(queue, seconds)

    def wait_no_more(self, queue: str) -> None:
        self._on("wait_no_more").wait_no_more(queue)

    def register(self, subscriptions: Sequence[Subscription]) -> None:
        self._on("register").register(subscriptions)

    def routes(self) -> RouteBook:
        return self._on("routes").routes()

    def heartbeat(
        self, owner: str, queues: Collection[str] = (), *, version: str = "", leaving: bool = False
    ) -> None:
        self._on("heartbeat").heartbeat(owner, queues, version=version, leaving=leaving)

    def info(self) -> MailboxInfo:
        return self._on("info").info()

    def ended(self, queue: str, limit: int = 100) -> list[EndedRecord]:
        return self._on("ended").ended(queue, limit)

    def purge(self, queue: str, told: Callable[[int], None] = lambda _: None) -> int:
        return self._on("purge").purge(queue, told)

    def close(self) -> None:
        self._on("close").close()


class FaultyLedger:
    """The ledger of a `FaultyMailbox`; its methods are `write`, `of` and `of_ended` there."""

    def __init__(self, mailbox: FaultyMailbox) -> None:
        self._mailbox = mailbox

    def write(self, notes: Sequence[Notes]) -> list[bool]:
        return self._mailbox._on("write").ledger.write(notes)

    def of(self, delivery_id: str) -> list[ItemRecord]:
        return self._mailbox._on("of").ledger.of(delivery_id)

    def of_ended(self, record_id: str) -> list[ItemRecord]:
        return self._mailbox._on("of_ended").ledger.of_ended(record_id)
