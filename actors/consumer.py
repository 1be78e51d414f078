"""dramatiq's consumer over a mailbox: keeps a buffer filled and hands out tickets to drain it."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import dramatiq
import structlog
from dramatiq.broker import Consumer, MessageProxy

from ..messages.delivery import Delivery
from ..messages.errors import MailboxError
from .buffer import Buffer, Waiting
from .hunt import NOT_NOW, Step
from .mailbox.mailbox import Fetched, Settlement, Suspects
from .plain import PlainMessage, message_of, unreadable
from .room import Room
from .threads import Threads
from .ticket import Ticket

if TYPE_CHECKING:
    from .worker import WorkerProcess

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.consumer")

_TURN_SECONDS = 0.005
"""How long a thread drains one queue while another queue, or a plain message, may wait for it."""

_TURNS_UNBROKEN = 64
"""Handlers a thread runs before it lets go of the interpreter: after every answer of the server the
consumer and the settler would wait for it, 5 ms each, Python's switch interval."""

_IDLE_SECONDS = 15.0
"""How long a consumer trusts its wake-up before it looks into the mailbox all the same; no longer than
a lease, so that one which another worker took after the last look is seen before it ends."""

_SOON_SECONDS = 0.002
"""How soon a delivery is seen that waits behind a slow handler while another thread is free."""

_SUSPECTS_SECONDS = 0.02
"""How soon it is looked for more suspects while the process holds as many as it may."""

_LONGEST_PAUSE = 1.0


class CallboardConsumer(Consumer):
    """Fetches for one queue. Deliveries for threads wait in `buffer`, those for the event loop there,
    and messages of plain dramatiq actors are handed to dramatiq one by one."""

    def __init__(self, worker: "WorkerProcess", queue: str, timeout_ms: int, most_plain: int = 1) -> None:
        self.worker = worker
        self.queue = queue
        self._most_plain = most_plain
        """Plain messages held at a time: dramatiq keeps them, so they cannot be given back while it runs."""
        self.buffer = Buffer()
        self.signal = threading.Event()
        """Set when the buffer runs low, a ticket comes back or a handler on the event loop ends."""
        self._timeout = timeout_ms / 1000
        self._messages: deque[PlainMessage] = deque()
        self._messages_out = 0
        self._threads = Threads(worker.threads)
        self._taken = 0
        self.fetching = False
        self._room = Room(time.monotonic())
        self._trusted_until = 0.0
        self._pause = 0.0
        self._has_waited = False
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
            try:
                if self.worker.stopping:
                    self._step_aside()
                    self.give_back()
                    self.signal.wait(min(left, 0.05))
                    return None
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
            if len(buffer) <= self._room.low and not self.signal.is_set():
                self.signal.set()
            ticket.begun += 1
            ticket.in_handler = True
            worker.perform(*waiting)
            ticket.in_handler = False
            if not ticket.begun % _TURNS_UNBROKEN:
                time.sleep(0)
            if threads.crowded and threads.leave(ticket):
                return
            if (len(worker.consumers) > 1 or self._messages_out) and time.monotonic() > turn_ends:
                return

    def ack(self, message: MessageProxy) -> None:
        """A ticket has come back, or a plain message is done."""
        if isinstance(message, PlainMessage):
            self._end_plain(message, message.acked())
        elif isinstance(message, Ticket):
            self._threads.back(message)
            self.signal.set()

    def nack(self, message: MessageProxy) -> None:
        """A plain message is to be dead-lettered."""
        if isinstance(message, PlainMessage):
            actor = self.worker.broker.actors.get(message.actor_name)
            self._end_plain(message, message.nacked(actor and actor.options.get("throws")))
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
        if self.worker.alone is self:
            self.worker.end_alone()
        with suppress(MailboxError):
            self._step_aside()

    def _end_plain(self, message: PlainMessage, settlement: Settlement) -> None:
        if message.late is None:
            self.worker.settle_plain(message, settlement)
        else:
            self.worker.stuck.has_ended(message.late)
        self._messages_out = max(0, self._messages_out - 1)
        self._taken += 1
        self.signal.set()

    def _refill(self, seconds: float) -> None:
        """Fetch what there is room for; wait where there is no room, or nothing to fetch."""
        worker = self.worker
        if worker.alone is not None:
            self._step_aside()
            self._refill_alone(seconds)
            return
        now = time.monotonic()
        room = self._room_now(now)
        if room <= 0:
            self._wait_for_room(seconds)
            return
        if not len(self.buffer) and now < self._trusted_until:
            self._has_waited = True
            if not worker.mailbox.wait(self.queue, min(seconds, self._trusted_until - now)):
                return
            self._trusted_until = 0.0
        fetched = self._fetch(room)
        is_hunting = bool(fetched.suspects) and worker.seek_alone(self)
        if not is_hunting and not fetched.deliveries and not fetched.waiting:
            self._idle(fetched, seconds)

    def _fetch(self, room: int) -> Fetched:
        worker = self.worker
        # Said before it is asked whether another seeks to be alone, who asks in the other order.
        self.fetching = True
        try:
            # A fetch of none takes nothing and wakes another worker if there is something.
            limit = 0 if worker.stopping or worker.alone is not None else room
            self._has_waited = False
            fetched = worker.fetch(self.queue, limit, worker.wanted_suspects())
            self._accept(fetched.deliveries)
            return fetched
        finally:
            self.fetching = False

    def _step_aside(self) -> None:
        """Let another worker have the wake-ups."""
        if self._has_waited:
            worker = self.worker
            worker.mailbox.wait_no_more(self.queue)
            # One that came meanwhile is passed on: a fetch of none wakes another if there is something.
            worker.fetch(self.queue, 0, NOT_NOW)
            self._has_waited = False

    def _room_now(self, now: float) -> int:
        worker, out = self.worker, self._messages_out
        busy = sum(len(c._threads) + c._messages_out for c in worker.consumers)  # noqa: SLF001 - its own kind
        free = max(0, worker.threads - busy + out)
        room = self._room.for_threads(now, self._taken, free=free, waiting=len(self.buffer) + out)
        if worker.broker.is_plain(self.queue):
            return self._room_for_plain(room)
        if not worker.broker.has_async(self.queue):
            return room
        # What the event loop has no room for would wait in line here, out of other workers' reach.
        on_loop = worker.loop.room
        if on_loop <= 0 or not worker.broker.has_sync(self.queue):
            return on_loop
        spare = worker.threads - len(self.buffer)
        return self._room.for_both(room, on_loop, spare=spare, taken=self._taken)

    def _room_for_plain(self, room: int) -> int:
        """Where actors differ in priority, hold as much as dramatiq does, for it to have a choice."""
        most = self._most_plain - self._messages_out
        return most if self.worker.broker.has_priorities else min(room, most)

    def _wait_for_room(self, seconds: float) -> None:
        self.signal.wait(min(seconds, self._patience()))
        if self._room.stands(time.monotonic(), self._taken, len(self.buffer)):
            logger.info("every thread is busy: giving the buffer back", count=len(self.buffer))
            self.give_back()

    def _patience(self) -> float:
        """How long to wait while something is in the buffer that a free thread may be wanted for."""
        return _SOON_SECONDS if len(self.buffer) and self._threads.has_free else 0.1

    def _idle(self, fetched: Fetched, seconds: float) -> None:
        """Nothing was there: trust the wake-up until the next schedule or lease may need a look."""
        if len(self.buffer):
            self.signal.wait(min(seconds, self._patience()))
            return
        if fetched.together:
            # Some of them may start as soon as others have ended.
            self.signal.wait(min(seconds, _SUSPECTS_SECONDS))
            return
        trusted = min(_IDLE_SECONDS, self.worker.lease_ms / 1000)
        if fetched.next_in_ms is not None:
            trusted = min(trusted, fetched.next_in_ms / 1000)
        now = time.monotonic()
        self._trusted_until = now + min(trusted, self.worker.hunt.pause(now))

    def _refill_alone(self, seconds: float) -> None:
        """Fetch one suspect once the process holds nothing else."""
        worker = self.worker
        is_clear = worker.alone is self and not any(each.fetching for each in worker.consumers)
        step = worker.hunt.look(time.monotonic(), worker.held.copy()) if is_clear else Step.WAIT
        if step is Step.WAIT:
            self.signal.wait(min(seconds, 0.05))
        elif step is Step.END or not self._fetch_alone():
            worker.end_alone()

    def _fetch_alone(self) -> bool:
        wanted = Suspects(together=0, charged=not self.worker.hunt.is_beside_others and not self.worker.stuck)
        fetched = self.worker.fetch(self.queue, 1, wanted, alone=True)
        self._accept(fetched.deliveries)
        return bool(fetched.deliveries)

    def _accept(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries in: each goes where its actor runs."""
        if not deliveries:
            return
        worker = self.worker
        worker.held.update(deliveries)
        if deliveries[0].suspect:
            worker.suspects.update(deliveries)
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
            message = message_of(delivery)
        except dramatiq.DecodeError as error:
            self.worker.settler.put(unreadable(delivery, error))
            return
        self._messages.append(message)
        self._messages_out += 1
