"""dramatiq's consumer over a mailbox: keeps a buffer filled and hands out tickets to drain it."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import dramatiq
import structlog
from dramatiq.broker import Consumer, MessageProxy

from ..messages.delivery import (
    RELEASED,
    SUCCEEDED,
    Delivery,
    History,
    Outcome,
    OutcomeKind,
    Reason,
    error_record,
)
from ..messages.errors import MailboxError
from .buffer import Buffer, Waiting
from .mailbox.mailbox import Fetched, Settlement
from .prefetch import Prefetch
from .threads import Threads
from .ticket import Ticket

if TYPE_CHECKING:
    from .worker import WorkerProcess

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.consumer")

_MOST_AT_ONCE = 256
"""Deliveries in one fetch: enough to pay for it, few enough for the server to serve others in between."""

_TURN_SECONDS = 0.005
"""How long a thread drains one queue while another queue may have something for it."""

_IDLE_SECONDS = 15.0
"""How long a consumer trusts its wake-up before it looks into the mailbox all the same; no longer than
a lease, so that one which another worker took after the last look is seen before it ends."""

_STUCK_SECONDS = 0.25
"""How long a buffer may stand while every thread is busy, before it is given back for others."""

_SOON_SECONDS = 0.002
"""How soon a delivery is seen that waits behind a slow handler while another thread is free."""

_LONGEST_PAUSE = 1.0
_ALONE_PATIENCE = 5.0


class PlainMessage(MessageProxy):
    """A message of a plain dramatiq actor, with the delivery that brought it."""

    def __init__(self, message: dramatiq.Message[object], delivery: Delivery) -> None:
        super().__init__(message)
        self.delivery = delivery


class CallboardConsumer(Consumer):
    """Fetches for one queue. Deliveries for threads wait in `buffer`, those for the event loop there,
    and messages of plain dramatiq actors are handed to dramatiq one by one."""

    def __init__(self, worker: "WorkerProcess", queue: str, timeout_ms: int) -> None:
        self.worker = worker
        self.queue = queue
        self.buffer = Buffer()
        self.signal = threading.Event()
        """Set when the buffer runs low, a ticket comes back or a handler on the event loop ends."""
        self._timeout = timeout_ms / 1000
        self._messages: deque[PlainMessage] = deque()
        self._messages_out = 0
        self._threads = Threads(worker.threads)
        self._taken = 0
        self.fetching = False
        self._taken_before = 0
        self._moving_at = time.monotonic()
        self._low = 0
        self._prefetch = Prefetch(time.monotonic())
        self._trusted_until = 0.0
        self._pause = 0.0
        self._alone_until = 0.0
        worker.consumers.append(self)

    def __next__(self) -> MessageProxy | None:
        """A ticket, a message, or None when there was nothing to do for a while."""
        deadline = time.monotonic() + self._timeout
        while (left := deadline - time.monotonic()) > 0:
            # Cleared before looking: what happens while looking must end the next wait.
            self.signal.clear()
            if self._messages:
                return self._messages.popleft()
            self._threads.look(time.monotonic(), time.process_time(), self._taken)
            if self._threads.wants_more(len(self.buffer)):
                return self._threads.give(Ticket(self))
            if self.worker.stopping:
                self.signal.wait(min(left, 0.05))
                return None
            try:
                self._refill(left)
                self._pause = 0.0
            except MailboxError as error:
                self._pause = min(2 * self._pause + 0.02, _LONGEST_PAUSE)
                self._trusted_until = 0.0
                logger.warning("cannot fetch", queue=self.queue, error=str(error), again_in=self._pause)
                self.signal.wait(min(left, self._pause))
        return None

    def drain(self, ticket: Ticket) -> None:
        """Run deliveries from the buffer, one at a time, until there are none or it is another's turn."""
        worker, buffer, threads = self.worker, self.buffer, self._threads
        turn_ends = time.monotonic() + _TURN_SECONDS
        while not worker.stopping and (waiting := buffer.take()) is not None:
            self._taken += 1
            if len(buffer) <= self._low and not self.signal.is_set():
                self.signal.set()
            ticket.begun += 1
            ticket.in_handler = True
            worker.perform(*waiting)
            ticket.in_handler = False
            if threads.crowded and threads.leave(ticket):
                return
            if len(worker.consumers) > 1 and time.monotonic() > turn_ends:
                return

    def ack(self, message: MessageProxy) -> None:
        """A ticket has come back, or a plain message is done."""
        if isinstance(message, PlainMessage):
            # A retry that could not be enqueued must not be followed by an acknowledgement.
            lost = self.worker.broker.lost_an_enqueue()
            self._settle_plain(message, RELEASED if lost else SUCCEEDED)
        elif isinstance(message, Ticket):
            self._threads.back(message)
            self.signal.set()

    def nack(self, message: MessageProxy) -> None:
        """A plain message is to be dead-lettered."""
        if isinstance(message, PlainMessage):
            error = message._exception  # noqa: SLF001 - dramatiq stuffs it there for its brokers
            record = error and error_record(error, message.delivery.clock.now())
            self._settle_plain(message, Outcome(OutcomeKind.DEAD, Reason.MAX_ATTEMPTS, error=record or None))
        else:
            self.ack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back plain messages that were not started."""
        self.worker.release([m.delivery for m in messages if isinstance(m, PlainMessage)])

    def give_back(self) -> None:
        """Give back all that has not been started."""
        self.worker.release(self.buffer.clear())

    def close(self) -> None:
        """Give back what is left."""
        while self._messages:
            self.worker.release([self._messages.popleft().delivery])
        self.give_back()
        if self in self.worker.consumers:
            self.worker.consumers.remove(self)

    def _settle_plain(self, message: PlainMessage, outcome: Outcome) -> None:
        self._messages_out = max(0, self._messages_out - 1)
        self._taken += 1
        self.signal.set()
        retries = message.options.get("retries", 0)
        history = History(retries + 1, 0, outcome.error, outcome.error) if outcome.error else None
        self.worker.settler.put(Settlement(message.delivery, outcome, history=history))

    def _refill(self, seconds: float) -> None:
        """Fetch what there is room for; wait where there is no room, or nothing to fetch."""
        worker = self.worker
        if worker.alone is not None:
            self._refill_alone(seconds)
            return
        now = time.monotonic()
        room = self._room(now)
        if room <= 0:
            self._wait_for_room(seconds)
            return
        if not len(self.buffer) and now < self._trusted_until:
            if not worker.mailbox.wait(self.queue, min(seconds, self._trusted_until - now)):
                return
            self._trusted_until = 0.0
        fetched = self._fetch(room)
        if fetched is None:
            return
        if fetched.suspects and worker.seek_alone(self):
            self._alone_until = time.monotonic() + _ALONE_PATIENCE
        elif not fetched.deliveries and not fetched.waiting:
            self._idle(fetched.next_in_ms, seconds)

    def _fetch(self, room: int) -> Fetched | None:
        worker = self.worker
        # Said before it is asked whether another seeks to be alone, who asks in the other order.
        self.fetching = True
        try:
            if worker.alone is not None:
                return None
            fetched = worker.mailbox.fetch(self.queue, room, owner=worker.owner, lease_ms=worker.lease_ms)
            self._accept(fetched.deliveries)
            return fetched
        finally:
            self.fetching = False

    def _room(self, now: float) -> int:
        worker = self.worker
        busy = sum(len(c._threads) + c._messages_out for c in worker.consumers)  # noqa: SLF001 - its own kind
        ahead = self._prefetch.look(now, self._taken)
        waiting = len(self.buffer) + len(self._messages)
        room = min(max(0, worker.threads - busy) + ahead - waiting, _MOST_AT_ONCE)
        # A deep buffer is filled in parts, the next one while there is still enough to do.
        part = min(ahead // 4, _MOST_AT_ONCE)
        self._low = ahead - part
        if room < part:
            room = 0
        if not worker.broker.has_async(self.queue):
            return room
        # What the event loop has no room for would wait in line here, out of other workers' reach.
        if not worker.broker.has_sync(self.queue) or worker.loop.room <= 0:
            return worker.loop.room
        return max(room, worker.loop.room)

    def _wait_for_room(self, seconds: float) -> None:
        self.signal.wait(min(seconds, self._patience()))
        now = time.monotonic()
        if self._taken != self._taken_before or not len(self.buffer):
            self._taken_before, self._moving_at = self._taken, now
        elif now - self._moving_at > _STUCK_SECONDS:
            logger.info("every thread is busy: giving the buffer back", count=len(self.buffer))
            self._prefetch.stall()
            self.give_back()

    def _patience(self) -> float:
        """How long to wait while something is in the buffer that a free thread may be wanted for."""
        return _SOON_SECONDS if len(self.buffer) and self._threads.has_free else 0.1

    def _idle(self, next_in_ms: int | None, seconds: float) -> None:
        """Nothing was there: trust the wake-up until the next schedule or lease may need a look."""
        if len(self.buffer):
            self.signal.wait(min(seconds, self._patience()))
            return
        trusted = min(_IDLE_SECONDS, self.worker.lease_ms / 1000)
        if next_in_ms is not None:
            trusted = min(trusted, next_in_ms / 1000)
        self._trusted_until = time.monotonic() + trusted

    def _refill_alone(self, seconds: float) -> None:
        """Fetch one suspect once the process holds nothing else."""
        worker = self.worker
        if worker.alone is not self or worker.held or any(c.fetching for c in worker.consumers):
            self.signal.wait(min(seconds, 0.05))
            late = time.monotonic() > self._alone_until
            if worker.alone is self and late and not any(each.alone for each in worker.held.copy()):
                worker.end_alone()
            return
        fetched = worker.mailbox.fetch(
            self.queue, 1, owner=worker.owner, lease_ms=worker.lease_ms, alone=True
        )
        self._accept(fetched.deliveries)
        self._alone_until = time.monotonic() + _ALONE_PATIENCE
        if not fetched.deliveries:
            worker.end_alone()

    def _accept(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries in: each goes where its actor runs."""
        if not deliveries:
            return
        worker = self.worker
        worker.held.update(deliveries)
        for_loop: list[Delivery] = []
        for delivery in deliveries:
            name = delivery.actor
            guarded = worker.broker.guarded(name)
            if guarded is not None and guarded.is_async:
                for_loop.append(delivery)
            elif guarded is None and name in worker.broker.actors:
                self._accept_plain(delivery)
            else:
                priority = 0 if guarded is None else worker.broker.actors[name].priority
                self.buffer.add(Waiting(delivery, guarded), priority)
        if for_loop:
            self._taken += len(for_loop)
            worker.loop.put(for_loop)

    def _accept_plain(self, delivery: Delivery) -> None:
        try:
            message: dramatiq.Message[object] = dramatiq.Message.decode(delivery.body)
        except dramatiq.DecodeError as error:
            outcome = Outcome(OutcomeKind.DEAD, Reason.INVALID_BODY, str(error))
            self.worker.settler.put(Settlement(delivery, outcome))
            logger.warning("dead: not a message of dramatiq", actor=delivery.actor, queue=self.queue)
            return
        self._messages.append(PlainMessage(message, delivery))
        self._messages_out += 1
