"""A dramatiq broker over a mailbox: events reach their actors through it, and plain messages theirs."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import dramatiq
import structlog
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.middleware import Middleware, SkipMessage

from ..messages.errors import ConfigurationError, MailboxError
from ..middleware.guarded import Guarded
from ..middleware.stack import Stack
from ..observability.recorder import Recorder
from .consumer import CallboardConsumer
from .declared import Declared
from .exporting import Exporting
from .hooks import EventHooks
from .item_writer import ItemWriter
from .limits import read_limits
from .mailbox.mailbox import Mailbox, Posting
from .plain import PlainMessage, outgoing, posting_of
from .plain_end import ENDS, ThisThread, is_late, told_end
from .settler import Reroute
from .ticket import DRAIN, DrainActor, Ticket
from .worker import WorkerProcess

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.broker")


class CallboardBroker(dramatiq.Broker):
    """A dramatiq broker over a mailbox.

    Parameters:
        mailbox: a mailbox, or a function that opens one when it is needed first.
        middleware: dramatiq's middleware; its defaults if None.
        lease: how long a worker that is not heard of may hold a delivery ("30s").
        in_flight: deliveries of `async def` actors that run at a time in one process.
        grace: how long a stopping worker waits for handlers on the event loop, and for the last
            settlements ("30s").
        boot: called when a worker starts, before it fetches; what it raises stops the start.
        confirm_routes: called every 20 seconds in every worker.
        look_after: called when a worker has started, and once an hour then; what it raises is logged.
        stopped: called when a worker has stopped.
        reroute: finds the routes of postings anew, for what handlers publish.
        recorder: counts what its workers do; None for no metrics.

    Raises `ConfigurationError` with all faults of lease, in_flight and grace.
    """

    def __init__(
        self,
        mailbox: Mailbox | Callable[[], Mailbox],
        *,
        middleware: list[Middleware] | None = None,
        lease: str | float | timedelta = "30s",
        in_flight: int = 100,
        grace: str | float | timedelta = "30s",
        boot: Callable[[], None] = lambda: None,
        confirm_routes: Callable[[], None] = lambda: None,
        look_after: Callable[[], None] = lambda: None,
        stopped: Callable[[], None] = lambda: None,
        reroute: Reroute = tuple,
        recorder: Recorder | None = None,
    ) -> None:
        self._mailbox: Mailbox | None = None if callable(mailbox) else mailbox
        self._open = mailbox if callable(mailbox) else lambda: mailbox
        faults: list[str] = []
        limits = read_limits(faults, lease=lease, in_flight=in_flight, grace=grace)
        if faults:
            raise ConfigurationError(faults)
        self.lease_ms, self.in_flight, self._grace = limits.lease_ms, limits.in_flight, limits.grace
        self.confirm_routes = confirm_routes
        self.look_after = look_after
        self.boot = boot
        self._stopped = stopped
        self.reroute = reroute
        self.recorder = recorder
        self.item_writer = ItemWriter(lambda: self.mailbox.ledger)
        self._opening = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._drain = DrainActor()
        self.declared = Declared()
        self.hooks = EventHooks(self)
        self._thread = ThisThread()
        super().__init__(middleware)

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox, opened when it is asked for first."""
        if self._mailbox is None:
            with self._opening:
                if self._mailbox is None:
                    self._mailbox = self._open()
        return self._mailbox

    @property
    def worker(self) -> WorkerProcess | None:
        """What runs in this process, if a worker does."""
        return self._worker

    @contextmanager
    def instead(self, mailbox: Mailbox) -> Iterator[None]:
        """Use another mailbox while the context lasts; raises `ConfigurationError` while a worker runs."""
        if self._worker is not None:
            raise ConfigurationError("a worker runs on this broker's mailbox: stop it first")
        before, self._mailbox = self._mailbox, mailbox
        try:
            yield
        finally:
            self._mailbox = before

    def guarded(self, actor_name: str) -> Guarded | None:
        """The guarded handler of an event actor; None for a plain one, or none of that name."""
        return self.declared.guarded(actor_name)

    # What dramatiq asks of a broker.

    def declare_actor(self, actor: dramatiq.Actor[..., Any]) -> None:
        """Declare an actor; its name may not hold a colon."""
        if ":" in actor.actor_name:
            raise ConfigurationError(
                f"actor {actor.actor_name!r}: a name cannot hold a colon; give it another with actor_name="
            )
        super().declare_actor(actor)
        self.declared.add(actor)
        if self.recorder is not None:
            # Metrics tell an actor, its queue and its contracts from others by this.
            fn: object = actor.fn
            events = fn.policy.contracts if isinstance(fn, Guarded) else ()
            self.recorder.declare(actor.queue_name, actor.actor_name, events)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue. There are no delay queues: the mailbox keeps what is scheduled."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def get_actor(self, actor_name: str) -> Any:
        """The actor of that name; raises dramatiq's `ActorNotFound`."""
        return self._drain if actor_name == DRAIN else super().get_actor(actor_name)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Post a plain message; `delay` is in milliseconds. Each call makes a delivery of its own.

        As on a server's brokers of dramatiq the queue may be one that only others consume. What hooks
        after a message enqueue goes out when that message is settled.
        """
        message = outgoing(message, delay)
        self.emit_before("enqueue", message, delay)
        processed = self._thread.processed
        if processed is not None:
            processed.hold(message, delay)
        else:
            self._post(posting_of(message, delay, fresh=True))
        self.emit_after("enqueue", message, delay)
        return message

    def _post(self, posting: Posting) -> None:
        try:
            self.mailbox.publish([posting])
        except MailboxError as error:
            raise dramatiq.BrokerConnectionError(str(error)) from error

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> CallboardConsumer:
        """A consumer for a queue. It holds no more than `prefetch` plain messages; of events it finds out
        by itself how many.
        """
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        if self._worker is None:
            raise dramatiq.BrokerConnectionError("consumers need a worker: start a dramatiq.Worker first")
        return CallboardConsumer(self._worker, queue_name, timeout, prefetch)

    def flush(self, queue_name: str) -> None:
        """Discard what waits in a queue."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self.mailbox.purge(queue_name)

    def flush_all(self) -> None:
        """Discard what waits in all declared queues."""
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, timeout: int | None = None) -> None:
        """Wait until a queue holds nothing; raises dramatiq's `QueueJoinTimeout` after `timeout` ms."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        give_up_at = None if timeout is None else time.monotonic() + timeout / 1000
        while any(known.live for known in self.mailbox.info().queues if known.queue == queue_name):
            if give_up_at is not None and time.monotonic() > give_up_at:
                raise QueueJoinTimeout(queue_name)
            time.sleep(0.02)

    def close(self) -> None:
        """Close the mailbox."""
        if self._mailbox is not None:
            self._mailbox.close()

    # Middleware sees no tickets, which are no messages, and nothing that goes back unstarted. The start and
    # end of the worker go first.

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Fire `before_` hooks; a worker that cannot start says so here."""
        if _is_unseen(args):
            return
        if signal == "process_message" and isinstance(args[0], PlainMessage):
            self._begin(args[0])
        elif signal == "worker_boot":
            self._start_worker(args[0])
        elif signal == "worker_shutdown" and self._worker is not None:
            self._worker.begin_stop()
        super().emit_before(signal, *args, **kwargs)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Fire `after_` hooks."""
        if _is_unseen(args):
            return
        if signal in ENDS and self._worker is not None:
            self._worker.at_work.ended(args[0])
        if is_late(args):
            return
        before = self._thread.processed  # hooks may have hooks: those of what they enqueue
        self._thread.processed = told_end(signal, args, kwargs) or before
        try:
            super().emit_after(signal, *args, **kwargs)
        finally:
            self._thread.processed = before
        if signal == "worker_shutdown" and self._worker is not None:
            self._worker.end_stop(self._grace)
            self._worker = None
            self._stopped()
            self._stop_reporting()

    def add_middleware(
        self,
        middleware: Middleware,
        *,
        before: type[Middleware] | None = None,
        after: type[Middleware] | None = None,
    ) -> None:
        """Add a middleware, and see whether it has hooks for events."""
        super().add_middleware(middleware, before=before, after=after)
        self.hooks.look()

    def _begin(self, message: PlainMessage) -> None:
        if self._worker is not None:
            if not self._worker.may_start(message.delivery):
                message.given_back = True
                raise SkipMessage
            self._worker.at_work.begins(message)
        message.began = time.monotonic()

    def _stop_reporting(self) -> None:
        """What was settled last is counted, too."""
        for middleware in self.middleware:
            if isinstance(middleware, Exporting):
                middleware.stop()

    def _start_worker(self, worker: dramatiq.Worker) -> None:
        try:
            self.boot()
            queues = sorted(worker.consumer_whitelist or self.queues)
            process = WorkerProcess(self, self.mailbox, threads=worker.worker_threads, queues=queues)
        except MailboxError as error:
            raise dramatiq.BrokerConnectionError(str(error)) from error
        for middleware in self.middleware:
            if isinstance(middleware, Stack):
                middleware.watch.stuck = process.stuck.give_up
                process.at_work.watches.append(middleware.watch)
        process.start()
        self._worker = process


def _is_unseen(args: Sequence[Any]) -> bool:
    if not args:
        return False
    return args[0].given_back if isinstance(args[0], PlainMessage) else isinstance(args[0], Ticket)
