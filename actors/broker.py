"""A dramatiq broker over a mailbox: events reach their actors through it, and plain messages theirs."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import dramatiq
import structlog
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.middleware import Middleware
from uuid_utils import uuid7

from ..messages.errors import ConfigurationError, MailboxError
from ..messages.timing import duration_ms
from ..middleware.stack import Guarded
from .consumer import CallboardConsumer
from .hooks import EventHooks
from .mailbox.mailbox import MIN_WINDOW_MS, Mailbox, Posting, Target
from .settler import Reroute
from .ticket import DRAIN, DrainActor, Ticket
from .worker import WorkerProcess

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.broker")

_PLAIN_FINGERPRINT = b"0" * 16
"""Every plain message has a key of its own, so its fingerprint is never compared."""


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
        confirm_routes: called once an hour in every worker.
        stopped: called when a worker has stopped.
        reroute: finds the routes of postings anew, for what handlers publish.
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
        stopped: Callable[[], None] = lambda: None,
        reroute: Reroute = tuple,
    ) -> None:
        self._mailbox: Mailbox | None = None if callable(mailbox) else mailbox
        self._open = mailbox if callable(mailbox) else lambda: mailbox
        self.lease_ms = duration_ms(lease)
        self.in_flight = in_flight
        self.confirm_routes = confirm_routes
        self._grace = duration_ms(grace) / 1000
        self._boot = boot
        self._stopped = stopped
        self.reroute = reroute
        self._opening = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._drain = DrainActor()
        self._guarded: dict[str, Guarded] = {}
        self._async_queues: set[str] = set()
        self._sync_queues: set[str] = set()
        self.hooks = EventHooks(self)
        self._hooks = _ThreadHooks()
        super().__init__(middleware)

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox, opened when it is asked for first."""
        if self._mailbox is None:
            with self._opening:
                if self._mailbox is None:
                    self._mailbox = self._open()
        return self._mailbox

    def guarded(self, actor_name: str) -> Guarded | None:
        """The guarded handler of an event actor; None for a plain one, or none of that name."""
        return self._guarded.get(actor_name)

    def has_async(self, queue_name: str) -> bool:
        """Whether an actor of the queue runs on the event loop."""
        return queue_name in self._async_queues

    def has_sync(self, queue_name: str) -> bool:
        """Whether an actor of the queue runs on a thread."""
        return queue_name in self._sync_queues

    # What dramatiq asks of a broker.

    def declare_actor(self, actor: dramatiq.Actor[..., Any]) -> None:
        """Declare an actor; its name may not hold a colon."""
        if ":" in actor.actor_name:
            raise ConfigurationError(
                f"actor {actor.actor_name!r}: a name cannot hold a colon; give it another with actor_name="
            )
        super().declare_actor(actor)
        fn: object = actor.fn
        if isinstance(fn, Guarded):
            self._guarded[actor.actor_name] = fn
        if isinstance(fn, Guarded) and fn.is_async:
            self._async_queues.add(actor.queue_name)
        else:
            self._sync_queues.add(actor.queue_name)

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
        """Post a plain message; `delay` is in milliseconds. Each call makes a delivery of its own."""
        if message.queue_name not in self.queues:
            raise QueueNotFound(message.queue_name)
        self.emit_before("enqueue", message, delay)
        target = Target(
            message.actor_name, message.queue_name, f"{message.message_id}.{uuid7().hex[-12:]}", MIN_WINDOW_MS
        )
        posting = Posting(
            "dramatiq.message",
            message.encode(),
            _PLAIN_FINGERPRINT,
            (target,),
            max(0, delay or 0),
            fresh=True,
        )
        try:
            self.mailbox.publish([posting])
        except MailboxError as error:
            self._hooks.lost_an_enqueue = self._hooks.running
            raise dramatiq.BrokerConnectionError(str(error)) from error
        self.emit_after("enqueue", message, delay)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> CallboardConsumer:
        """A consumer for a queue; how much it holds ahead it finds out by itself."""
        del prefetch
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        if self._worker is None:
            raise dramatiq.BrokerConnectionError("consumers need a worker: start a dramatiq.Worker first")
        return CallboardConsumer(self._worker, queue_name, timeout)

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
        while any(
            known.ready + known.leased + known.scheduled + known.suspects
            for known in self.mailbox.info().queues
            if known.queue == queue_name
        ):
            if give_up_at is not None and time.monotonic() > give_up_at:
                raise QueueJoinTimeout(queue_name)
            time.sleep(0.02)

    def close(self) -> None:
        """Close the mailbox."""
        if self._mailbox is not None:
            self._mailbox.close()

    # Tickets are no messages: middleware never sees them. The worker's own start and end go first.

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Fire `before_` hooks; a worker that cannot start says so here."""
        if _is_ticket(args):
            return
        if signal == "worker_boot":
            self._start_worker(args[0])
        elif signal == "worker_shutdown" and self._worker is not None:
            self._worker.begin_stop()
        super().emit_before(signal, *args, **kwargs)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Fire `after_` hooks."""
        if _is_ticket(args):
            return
        self._hooks.running = signal == "process_message"
        super().emit_after(signal, *args, **kwargs)
        self._hooks.running = False
        if signal == "worker_shutdown" and self._worker is not None:
            self._worker.end_stop(self._grace)
            self._worker = None
            self._stopped()

    def lost_an_enqueue(self) -> bool:
        """Whether a hook that ran after this thread's message could not enqueue; asking forgets it.

        dramatiq swallows the errors of such hooks, a failed retry's among them, and acknowledges.
        """
        lost, self._hooks.lost_an_enqueue = self._hooks.lost_an_enqueue, False
        return lost

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

    def _start_worker(self, worker: dramatiq.Worker) -> None:
        try:
            self._boot()
            process = WorkerProcess(self, self.mailbox, threads=worker.worker_threads)
        except MailboxError as error:
            raise dramatiq.BrokerConnectionError(str(error)) from error
        process.start()
        self._worker = process


class _ThreadHooks(threading.local):
    """What this thread knows of the hooks after its message."""

    running = False
    lost_an_enqueue = False


def _is_ticket(args: Sequence[Any]) -> bool:
    return bool(args) and isinstance(args[0], Ticket)
