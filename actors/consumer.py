"""dramatiq's consumer over a mailbox: keeps a buffer filled and hands out tickets to drain it."""

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from dramatiq.broker import Consumer, MessageProxy

from ..messages.delivery import Delivery
from ..messages.errors import MailboxError
from .capacity import Capacity
from .gathering import Gathered
from .hunt import NOT_NOW, Step
from .intake import Intake
from .mailbox.mailbox import Fetched, Settlement
from .mailbox.suspects import Suspects
from .plain import PlainMessage
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
        self.intake = Intake(worker)
        self.buffer = self.intake.buffer
        self.signal = threading.Event()
        """Set when the buffer runs low, a ticket comes back or a handler on the event loop ends."""
        self._timeout = timeout_ms / 1000
        self._threads = Threads(worker.threads)
        self._taken = 0
        self.mark = 0
        """Another one whenever it has moved."""
        self.fetching = False
        self._room = Room(time.monotonic())
        self.capacity = Capacity(
            worker, queue, self.intake, self._threads, room=self._room, most_plain=most_plain
        )
        self._trusted_until = 0.0
        self._pause = 0.0
        self._has_waited = False
        worker.consumers.append(self)

    def __next__(self) -> MessageProxy | None:
        """A ticket, a message, or None when there was nothing to do for a while."""
        deadline = time.monotonic() + self._timeout
        while (left := deadline - time.monotonic()) > 0:
            self.mark += 1
            # Cleared before looking: what happens while looking must end the next wait.
            self.signal.clear()
            if self.intake.messages:
                return self.intake.messages.popleft()
            self._threads.look(time.monotonic(), time.process_time(), self._taken)
            if self._threads.wants_more(len(self.buffer)):
                return self._threads.give(Ticket(self))
            try:
                if self.worker.stopping:
                    self._step_aside()
                    self.give_back()
                    self.signal.wait(min(left, 0.05))
                    return None
                self._refill(min(left, self.intake.due_in))
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
            if isinstance(waiting, Gathered):
                self._taken += len(waiting.deliveries) - 1
                worker.perform_batch(waiting)
            else:
                worker.perform(*waiting)
            ticket.in_handler = False
            if not ticket.begun % _TURNS_UNBROKEN:
                time.sleep(0)
            if threads.crowded and threads.leave(ticket):
                return
            if (len(worker.consumers) > 1 or self.intake.messages_out) and time.monotonic() > turn_ends:
                return

    @property
    def busy_threads(self) -> int:
        """Worker threads that are in a handler of this queue."""
        return self._threads.in_handlers + self.intake.messages_out - len(self.intake.messages)

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
        self.worker.release(self.intake.clear())

    def close(self) -> None:
        """Give back what is left."""
        while self.intake.messages:
            self.worker.release([self.intake.messages.popleft().delivery])
        self.give_back()
        if self in self.worker.consumers:
            self.worker.consumers.remove(self)
        if self.worker.alone is self:
            self.worker.end_alone()
        with suppress(MailboxError):
            self._step_aside()

    def _end_plain(self, message: PlainMessage, settlement: Settlement) -> None:
        if message.late is not None:
            self.worker.stuck.has_ended(message.late)
        elif not message.given_back:
            self.worker.settle_plain(message, settlement)
        self.intake.messages_out = max(0, self.intake.messages_out - 1)
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
        room = self.capacity.room(now, self._taken)
        if room <= 0:
            if not self._release_due():
                self._wait_for_room(seconds)
            return
        if not len(self.buffer) and now < self._trusted_until:
            if self._release_due():
                return
            self._has_waited = True
            if not worker.mailbox.wait(self.queue, min(seconds, self._trusted_until - now)):
                return
            self._trusted_until = 0.0
        fetched = self._fetch(room)
        is_hunting = bool(fetched.suspects) and worker.seek_alone(self)
        if len(fetched.deliveries) < room and self._release_due():
            return  # no more of them wait in the mailbox that could have joined
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

    def _wait_for_room(self, seconds: float) -> None:
        self.signal.wait(min(seconds, self._patience()))
        if self.capacity.stands(time.monotonic(), self._taken):
            logger.info("every thread is busy: giving the buffer back", count=len(self.buffer))
            self.give_back()

    def _patience(self) -> float:
        """How long to wait while something is in the buffer that a free thread may be wanted for."""
        return _SOON_SECONDS if len(self.buffer) and self._threads.has_free else 0.1

    def _idle(self, fetched: Fetched, seconds: float) -> None:
        """Nothing was there: trust the wake-up until the next schedule or lease may need a look."""
        if len(self.buffer) or self.intake.is_overdue:
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
        self._taken += self.intake.accept(deliveries)

    def _release_due(self) -> bool:
        """Hand on the batches that have waited long enough; whether there were any."""
        loop = self.worker.loop
        found, on_loop = self.intake.release_due(
            on_threads=self.capacity.free_threads > 0, on_loop=loop.is_idle or loop.room > 0
        )
        self._taken += on_loop
        return found
