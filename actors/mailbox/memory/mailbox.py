"""The mailbox in this process's memory: the harness of tests, and the model of the others."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from ....messages.delivery import Clock, Delivery, OutcomeKind
from ....messages.errors import MailboxUnavailable, StaleRoutes
from ..infos import WORKER_LASTS_MS, MailboxInfo, WorkerInfo
from ..mailbox import MOST_RECORDED, Fetched, Posting, Settlement, Verdict
from ..records import EndedRecord
from ..subscriptions import RouteBook, Subscription
from ..suspects import EACH_ALONE, Suspects
from .clock import SystemClock, VirtualClock
from .controls import MemoryControls
from .correlations import MemoryCorrelations
from .deliveries import Deliveries
from .gauges import MemoryGauges
from .ledger import MemoryLedger
from .records import MemoryRecords
from .remembered import Remembered
from .routes import Routes
from .running import MemoryRunning
from .schedule import MemorySchedule


class MemoryMailbox:
    """Keeps deliveries as long as this object lives; implements `Mailbox`.

    Its clock is this machine's unless another is given; `most_recorded` is how many records of one kind a
    queue keeps. With a `VirtualClock` nothing comes due by
    waiting, so `wait` never blocks then.
    """

    def __init__(self, *, clock: Clock | None = None, most_recorded: int = MOST_RECORDED) -> None:
        self._clock: Clock = SystemClock() if clock is None else clock
        self._changed = threading.Condition()
        self._closed = False
        self._deliveries = Deliveries(self._clock, most_recorded)
        self._workers: Remembered[str, WorkerInfo] = Remembered()
        self._consumers: Remembered[tuple[str, str], str] = Remembered()
        self._routes = Routes(lambda now: bool(self._workers.values(now)))
        self.controls = MemoryControls(self._changed, self._now, self._deliveries)
        self.correlations = MemoryCorrelations(self._changed, self._now, self._deliveries.related)
        self.records = MemoryRecords(self._changed, self._now, self._deliveries, self._routes)
        self.running = MemoryRunning(self._entered)
        self.schedule = MemorySchedule(self._deliveries, self.records, self._entered)
        self.gauges = MemoryGauges(self._deliveries, self._entered, self._consumers)
        self.ledger = MemoryLedger(self._deliveries, self._entered)

    def publish(self, postings: Sequence[Posting], routes_version: int | None = None) -> list[list[Verdict]]:
        """Store every posting for all its targets or for none; a verdict for each target, in order."""
        with self._changed:
            now = self._now()
            if routes_version is not None and routes_version != self._routes.version:
                raise StaleRoutes(
                    f"routes of version {routes_version} are not the mailbox's, which are of version "
                    f"{self._routes.version}: load them with routes() and publish again"
                )
            verdicts = [self._deliveries.publish(posting, now) for posting in postings]
            self._changed.notify_all()
            return verdicts

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
        """Lease up to `limit` deliveries of a queue to `owner`, or at most one suspect `alone`."""
        with self._changed:
            now = self._now()
            lease_end = now + lease_ms
            return self._deliveries.fetch(
                queue, limit, owner=owner, lease_end=lease_end, alone=alone, wanted=suspects, now=now
            )

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Make outcomes durable, each if its fence still holds; False where the lease was taken over."""
        with self._changed:
            now = self._now()
            stale = [each for each in settlements if self._deliveries.is_stale(each, self._routes.version)]
            held = [self._deliveries.settle(each, now) for each in settlements if each not in stale]
            self._changed.notify_all()
            if stale:
                raise StaleRoutes("the routes have changed: find them anew and settle again")
            return held

    def renew(self, deliveries: Sequence[Delivery], lease_ms: int) -> list[Delivery]:
        """Extend leases to `lease_ms` from now; returns the deliveries that are no longer held."""
        with self._changed:
            lease_end = self._now() + lease_ms
            return [each for each in deliveries if not self._deliveries.renew(each, lease_end)]

    def wait(self, queue: str, seconds: float) -> bool:
        """Block until something of the queue may be fetched, or for `seconds`; whether woken.

        With a `VirtualClock` it answers at once, for no time passes while it would wait.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            self._now()
            while not self._closed:
                next_in = self._deliveries.queue(queue).next_in(self._clock.now())
                if next_in == 0 or self._deliveries.queue(queue).take_wake():
                    return True
                left = deadline - time.monotonic()
                if left <= 0 or isinstance(self._clock, VirtualClock):
                    return False
                self._changed.wait(left if next_in is None else min(left, next_in / 1000))
            return False

    def wait_no_more(self, queue: str) -> None:
        """Nothing is held for who waits: a wake-up here is what the queue holds."""

    def register(self, subscriptions: Sequence[Subscription]) -> None:
        """Make known what the actors of a worker subscribe to, replacing what they did before."""
        with self._changed:
            for former, new in self._routes.register(subscriptions, self._now()):
                self._deliveries.subscribe(former, new)
            self._changed.notify_all()

    def routes(self) -> RouteBook:
        """The subscriptions confirmed within the last 7 days."""
        with self._changed:
            return self._routes.book(self._now())

    def heartbeat(
        self, owner: str, queues: Collection[str] = (), *, version: str = "", leaving: bool = False
    ) -> None:
        """Tell that a worker process is there, or that it leaves; it is listed for 60 s."""
        with self._changed:
            now = self._now()
            if leaving:
                self._workers.forget(owner)
                for queue in queues:
                    self._consumers.forget((owner, queue))
                return
            until = now + WORKER_LASTS_MS
            self._workers.put(owner, WorkerInfo(owner, now, version), now=now, until=until)
            for queue in queues:
                self._consumers.put((owner, queue), queue, now=now, until=until)

    def info(self) -> MailboxInfo:
        """The state of all queues, at one moment."""
        with self._changed:
            now = self._now()
            return MailboxInfo(
                workspace="default",
                server="memory",
                at=now,
                queues=self._deliveries.infos(now),
                workers=tuple(self._workers.values(now)),
                unrouted=dict(self._deliveries.unrouted),
            )

    def ended(self, queue: str, limit: int = 100) -> list[EndedRecord]:
        """The dead and discarded deliveries of a queue, the latest first."""
        with self._changed:
            now, kinds = self._now(), (OutcomeKind.DEAD, OutcomeKind.DISCARDED)
            records = [each for kind in kinds for each in self._deliveries.records.listed(queue, kind, now)]
            return sorted(records, key=lambda each: (each.at, each.id), reverse=True)[:limit]

    def purge(self, queue: str, told: Callable[[int], None] = lambda _: None) -> int:
        """Discard all of a queue that is not leased; counted, but no record is kept."""
        with self._changed:
            self._now()
            purged = self._deliveries.purge(queue)
        told(purged)
        return purged

    def close(self) -> None:
        """End blocked calls, which answer False; later ones raise `MailboxUnavailable`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextmanager
    def _entered(self) -> Iterator[int]:
        with self._changed:
            yield self._now()
            self._changed.notify_all()

    def _now(self) -> int:
        if self._closed:
            raise MailboxUnavailable("this mailbox was closed: make a new one")
        return self._clock.now()
