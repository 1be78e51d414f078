"""The mailbox on Redis (7.0 or later) or Valkey: each step one Lua script, by the server's clock."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ....messages.delivery import Delivery
from ....messages.errors import MailboxUnavailable, StaleRoutes
from ..connections import Argument, Connections
from ..infos import MOST_LISTED, WORKER_LASTS_MS, MailboxInfo, WorkerInfo
from ..keys import queue_key, root_of
from ..mailbox import MOST_RECORDED, Fetched, Posting, Settlement, Verdict
from ..records import EndedRecord
from ..scripts import Script, named_errors
from ..subscriptions import CONFIRMED_FOR_MS, UPHELD_MS, RouteBook, Subscription
from ..suspects import EACH_ALONE, Suspects
from .controls import RedisControls
from .correlations import RedisCorrelations
from .gauges import RedisGauges
from .ledger import RedisLedger
from .patience import Patience
from .records import RedisRecords
from .running import RedisRunning
from .schedule import RedisSchedule
from .wakeups import WakeUps
from .wire import (
    fetch_arguments,
    pairs,
    publish_arguments,
    read_fetched,
    read_queue,
    register_arguments,
    renew_arguments,
    settle_arguments,
)

MOST_AT_ONCE = 2000
"""Deliveries in one call of a script, so that nobody else waits long for the server."""

MOST_PURGED = 1000
"""Deliveries that are discarded in one call."""

_READ_SIZE = 1 << 20
"""Bytes read at a time: after each read a thread must wait for the interpreter's lock anew."""

_script = cache(Script)
_letters = {ord(verdict.value[0]): verdict for verdict in Verdict}


@lru_cache(1024)
def _verdicts(letters: bytes) -> tuple[Verdict, ...]:
    return tuple(_letters[letter] for letter in letters)


class RedisMailbox:
    """A workspace on a server.

    `revive` is called after the server could not be reached, before it is tried again: an embedded
    server is brought back by it; `closing` is called when the mailbox has been closed.

    `patience` is how many seconds a publisher's call goes on trying; a worker's calls (`fetch`,
    `settle`, `renew`, `wait`) are tried once, for the worker knows how long it may wait.
    `socket_timeout` is in seconds. `most_recorded` is how many records of one kind a queue keeps.
    """

    def __init__(
        self,
        url: str,
        workspace: str = "default",
        *,
        patience: float = 3.0,
        socket_timeout: float = 5.0,
        most_recorded: int = MOST_RECORDED,
        revive: Callable[[], object] | None = None,
        closing: Callable[[], object] = lambda: None,
    ) -> None:
        self.workspace = workspace
        self._root = root_of(workspace)
        self._most_recorded = most_recorded
        self._revive = revive
        self._closing = closing
        self._closed = threading.Event()
        self._patience = Patience(patience, self._closed)
        # The client's own retries would send a script twice behind our back.
        self.client = _connect(url, socket_timeout)
        self._connections = Connections(self.client.connection_pool)
        self.controls = RedisControls(self._ask)
        self.gauges = RedisGauges(self._ask, self._server_name, WORKER_LASTS_MS)
        self.ledger = RedisLedger(self._run, self._ask)
        self.correlations = RedisCorrelations(self._ask)
        self.records = RedisRecords(self._ask)
        self.running = RedisRunning(self._ask)
        self.schedule = RedisSchedule(self._ask, self.records, most_recorded)
        self._wake_ups = WakeUps(_connect(url, socket_timeout).connection_pool)

    def publish(self, postings: Sequence[Posting], routes_version: int | None = None) -> list[list[Verdict]]:
        """See `Mailbox.publish`."""
        sent_before = False

        def attempt(again: bool) -> Any:
            nonlocal sent_before
            sent_before = again
            return self._run("publish", publish_arguments(postings, routes_version, again=again))

        answer = self._patience.insist(attempt)
        if answer == -1:
            raise StaleRoutes("the routes have changed: load them and publish again", sent_before=sent_before)
        return [list(_verdicts(letters)) for letters in answer]

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
        """See `Mailbox.fetch`."""
        self._wake_ups.leave(queue_key(self._root, "WAKE", queue))
        asked_at = time.monotonic()
        arguments = fetch_arguments(
            queue,
            min(limit, MOST_AT_ONCE),
            owner,
            lease_ms,
            alone=alone,
            suspects=suspects,
            most_recorded=self._most_recorded,
        )
        answer = self._run("fetch", arguments)
        return read_fetched(answer, queue, owner, asked_at)

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """See `Mailbox.settle`."""
        held = [False] * len(settlements)
        stale = False
        for first in range(0, len(settlements), MOST_AT_ONCE):
            some = settlements[first : first + MOST_AT_ONCE]
            arguments, order = settle_arguments(some, self._most_recorded)
            for position, answer in zip(order, self._run("settle", arguments), strict=True):
                held[first + position] = answer == 1
                stale = stale or answer == -1
        if stale:
            raise StaleRoutes("the routes have changed: find them anew and settle again")
        return held

    def renew(self, deliveries: Sequence[Delivery], lease_ms: int) -> list[Delivery]:
        """See `Mailbox.renew`."""
        lost: list[Delivery] = []
        by_queue = sorted(deliveries, key=lambda delivery: delivery.queue)
        for first in range(0, len(by_queue), MOST_AT_ONCE):
            some = by_queue[first : first + MOST_AT_ONCE]
            groups = [(queue, list(group)) for queue, group in groupby(some, key=lambda d: d.queue)]
            answers = self._run("renew", renew_arguments(groups, lease_ms))
            lost += [delivery for delivery, held in zip(some, answers, strict=True) if not held]
        return lost

    def wait(self, queue: str, seconds: float) -> bool:
        """See `Mailbox.wait`."""
        self._check_open()
        with self._reviving(), named_errors(self._connections.place):
            return self._wake_ups.wait(queue_key(self._root, "WAKE", queue), seconds)

    def wait_no_more(self, queue: str) -> None:
        """See `Mailbox.wait_no_more`."""
        self._wake_ups.leave(queue_key(self._root, "WAKE", queue))

    def register(self, subscriptions: Sequence[Subscription]) -> None:
        """See `Mailbox.register`."""
        self._ask("register", *register_arguments(subscriptions))

    def routes(self) -> RouteBook:
        """See `Mailbox.routes`."""
        version, upheld, *subscriptions = self._ask("routes", CONFIRMED_FOR_MS, UPHELD_MS, WORKER_LASTS_MS)
        decoded = [msgspec.json.decode(subscription, type=Subscription) for subscription in subscriptions]
        in_order = sorted(decoded, key=lambda known: (known.order, known.actor))
        return RouteBook(int(version), tuple(in_order), frozenset(actor.decode() for actor in upheld))

    def heartbeat(
        self, owner: str, queues: Collection[str] = (), *, version: str = "", leaving: bool = False
    ) -> None:
        """See `Mailbox.heartbeat`."""
        self._run("heartbeat", [owner, int(leaving), WORKER_LASTS_MS, version, *queues])

    def info(self) -> MailboxInfo:
        """See `Mailbox.info`."""
        at, unrouted, workers, *queues = self._ask("info", WORKER_LASTS_MS, MOST_LISTED)
        return MailboxInfo(
            workspace=self.workspace,
            server=self._server_name(),
            at=at,
            queues=tuple(read_queue(queue) for queue in queues),
            workers=tuple(
                WorkerInfo(owner.decode(), seen, version.decode()) for owner, seen, version in workers
            ),
            unrouted={event: int(times) for event, times in pairs(unrouted)},
        )

    def ended(self, queue: str, limit: int = 100) -> list[EndedRecord]:
        """See `Mailbox.ended`."""
        return self.records.ended(queue, limit)

    def purge(self, queue: str, told: Callable[[int], None] = lambda _: None) -> int:
        """See `Mailbox.purge`."""
        purged, some = 0, MOST_PURGED
        # A slice that is not full was the last: what is published meanwhile must not keep it going for ever.
        while some == MOST_PURGED:
            some = self._ask("purge", queue, MOST_PURGED)
            purged += some
            told(purged)
        return purged

    def close(self) -> None:
        """See `Mailbox.close`."""
        self._closed.set()
        self._wake_ups.close()
        self._connections.close()
        self.client.close()
        self._closing()

    def _server_name(self) -> str:
        with named_errors(self._connections.place):
            server = self.client.info("server")
        name = server.get("server_name", "redis")
        return f"{name} {server.get(f'{name}_version', server['redis_version'])}"

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise MailboxUnavailable("the mailbox has been closed")

    def _reviving(self) -> "_Reviving":
        return _Reviving(self._revive)

    def _run(self, script: str, arguments: list[Argument]) -> Any:
        self._check_open()
        with self._reviving():
            return _script(script).run(self._connections, self._root, arguments)

    def _ask(self, script: str, *arguments: Argument) -> Any:
        return self._patience.insist(lambda _again: self._run(script, [*arguments]))


class _Reviving:
    """Calls `revive` when the server could not be reached, so that the next try may find it."""

    def __init__(self, revive: Callable[[], object] | None) -> None:
        self._revive = revive

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if self._revive is not None and isinstance(error, MailboxUnavailable):
            self._revive()


def _connect(url: str, socket_timeout: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=socket_timeout,
        socket_connect_timeout=socket_timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        socket_read_size=_READ_SIZE,
    )
