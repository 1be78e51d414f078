"""What one worker process holds between fetching a delivery and settling it."""

import os
import socket
import threading
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

import dramatiq
import structlog

from ..messages.delivery import RELEASED, Delivery, Outcome
from ..messages.errors import MailboxError
from ..middleware.attempt import Attempt
from ..middleware.batch_run import Report
from ..middleware.guarded import Guarded
from ..observability.metrics import PLAIN
from ..observability.settled import Measured
from .eventloop import EventLoop
from .gathering import Gathered
from .hunt import MOST_TOGETHER, NOT_NOW, Hunt
from .mailbox.mailbox import Fetched, Mailbox, Settlement
from .mailbox.suspects import Suspects
from .performing import aperform, perform, settlement_of, settlement_of_unknown
from .performing_batch import aperform_batch, perform_batch
from .plain import PlainMessage
from .renewer import Renewer
from .reporting import AtWork, Reporter
from .settler import Settler
from .stuck import Stuck
from .timed import timed

if TYPE_CHECKING:
    from .broker import CallboardBroker
    from .consumer import CallboardConsumer

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.worker")


def owner_name() -> str:
    """A name for this process that an operator can find and that no other process ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"


class WorkerProcess:
    """The consumers of a process share its threads, its settler, its renewer and its event loop."""

    def __init__(
        self, broker: "CallboardBroker", mailbox: Mailbox, *, threads: int, queues: Collection[str] = ()
    ) -> None:
        self.broker = broker
        self.mailbox = mailbox = mailbox if broker.recorder is None else timed(mailbox, broker.recorder)
        self.threads = threads
        self.lease_ms = broker.lease_ms
        self._lease_seconds = broker.lease_ms / 1000
        self.owner = owner_name()
        self.stopping = False
        self.held: set[Delivery] = set()
        """All that was fetched and is not settled yet."""
        self.suspects: set[Delivery] = set()
        """Those among it that are suspects and run beside others."""
        self.consumers: list[CallboardConsumer] = []
        self.alone: CallboardConsumer | None = None
        """The consumer for which the process holds nothing else, while it runs suspects."""
        self.hunt = Hunt()
        self._alone_lock = threading.Lock()
        self.settler = Settler(
            mailbox,
            busy=self._is_busy,
            settled=self._settled,
            reroute=broker.reroute,
            record=None if broker.recorder is None else broker.recorder.settled,
        )
        self.renewer = Renewer(
            mailbox,
            owner=self.owner,
            queues=queues,
            lease_ms=self.lease_ms,
            held=lambda: [delivery for delivery in self.held.copy() if not delivery.lost],
            lost=self._lost,
            confirm=broker.confirm_routes,
            look_after=broker.look_after,
        )
        self.at_work = AtWork()
        self._reporter = Reporter(mailbox, owner=self.owner, longest=self.at_work.longest)
        self.loop = EventLoop(self._perform_async, in_flight=broker.in_flight, freed=self._nudge)
        self.stuck = Stuck(self)
        self._report = Report(
            tell=lambda attempt, outcome: self.settle(attempt, settlement_of(attempt, outcome)),
            go_on=lambda: not self.stopping,
            late=self.stuck.has_ended,
        )

    def start(self) -> None:
        """Start the threads that serve the worker threads."""
        self.settler.start()
        self.broker.item_writer.start()
        self.renewer.start()
        self._reporter.start()
        self.loop.start()

    def begin_stop(self) -> None:
        """Take no more: threads end after what they run now, the rest goes back."""
        self.stopping = True
        self.loop.admit_no_more()
        self.release(self.loop.clear())
        for consumer in self.consumers:
            consumer.give_back()
        self._nudge()

    def end_stop(self, seconds: float) -> None:
        """Wait for handlers on the event loop, commit what is left, and leave."""
        self.loop.stop(seconds)
        self.release(self.loop.clear())
        stop_at = time.monotonic() + seconds
        unwritten = self.broker.item_writer.stop(seconds)
        unwritten += self.settler.stop(max(0.0, stop_at - time.monotonic()))
        self._reporter.stop()
        self.renewer.stop()
        if unwritten:
            logger.error(
                "settlements could not be written; their deliveries will start again", count=unwritten
            )

    def perform(self, delivery: Delivery, guarded: Guarded | None) -> None:
        """Run one attempt at a delivery on this thread and hand over its outcome."""
        if not self.may_start(delivery):
            return
        if guarded is None:
            self._settle_unknown(delivery)
            return
        attempt = Attempt(delivery, guarded.policy)
        outcome = perform(self.broker.hooks, guarded, attempt)
        self._hand_over(attempt, outcome)

    def perform_batch(self, batch: Gathered) -> None:
        """Run the attempts of a batch on this thread and hand over the outcome of each."""
        perform_batch(self.broker.hooks, batch.guarded, self._attempts_of(batch), self._report)

    async def _perform_async(self, turn: Delivery | Gathered) -> None:
        if isinstance(turn, Gathered):
            await aperform_batch(self.broker.hooks, turn.guarded, self._attempts_of(turn), self._report)
        else:
            await self._perform_one(turn)

    def _attempts_of(self, batch: Gathered) -> list[Attempt]:
        gone = [delivery for delivery in batch.deliveries if not self._is_held(delivery)]
        if gone:
            self._let_go(gone)
        return [Attempt(each, batch.guarded.policy) for each in batch.deliveries if each not in gone]

    def may_start(self, delivery: Delivery) -> bool:
        """Whether an attempt may begin now; what is not surely held any more is let go."""
        if self._is_held(delivery):
            return True
        self._let_go([delivery])
        return False

    def _is_held(self, delivery: Delivery) -> bool:
        """Whether it is surely leased to this process still.

        One that was stopped, or was cut off from the server, must not start what another may have by now.
        """
        return not delivery.lost and time.monotonic() - delivery.leased_at <= self._lease_seconds

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        """Start none of these: what is perhaps held still goes back, as it came, and is charged nothing."""
        self.held.difference_update([delivery for delivery in deliveries if delivery.lost])
        over = [delivery for delivery in deliveries if not delivery.lost]
        if over:
            # What waits behind them goes back first, so that they are the foremost again.
            for consumer in self.consumers:
                consumer.give_back()
            self.release(over)
            logger.warning("their leases ended before they were started: giving back", count=len(over))

    async def _perform_one(self, delivery: Delivery) -> None:
        if not self.may_start(delivery):
            return
        guarded = self.broker.declared.guarded(delivery.actor)
        if guarded is None:
            self._settle_unknown(delivery)
            return
        attempt = Attempt(delivery, guarded.policy)
        outcome = RELEASED  # what it comes to if it is cancelled because the worker stops
        try:
            outcome = await aperform(self.broker.hooks, guarded, attempt)
        finally:
            self._hand_over(attempt, outcome)

    def _hand_over(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.given_up:
            self.stuck.has_ended(attempt)
        else:
            self.settle(attempt, settlement_of(attempt, outcome))

    def settle(self, attempt: Attempt, settlement: Settlement) -> None:
        """Have an outcome settled, once what became of its items is durable."""
        if attempt.items is None:
            self.settler.put(settlement)
        else:
            attempt.items.finish(partial(self.settler.put, settlement))

    def settle_plain(self, message: PlainMessage, settlement: Settlement) -> None:
        """Make durable what became of a plain message, and publish what its hooks enqueued.

        Raises dramatiq's `BrokerConnectionError` when that cannot be published: nothing is settled then.
        """
        if message.follow_ups and not settlement.postings and not message.delivery.lost:
            # Only a success takes along what was enqueued. dramatiq tries again when this fails.
            try:
                self.mailbox.publish(message.follow_ups)
            except MailboxError as error:
                raise dramatiq.BrokerConnectionError(str(error)) from error
        if message.delivery.measured is None and message.began:
            # No layer has: its actor has none of the stack's options.
            measured = Measured(message.actor_name, PLAIN, message.began, time.monotonic())
            message.delivery.measured = measured
        self.settler.put(settlement)

    @property
    def busy_threads(self) -> int:
        """Worker threads that are in a handler."""
        return sum(consumer.busy_threads for consumer in self.consumers.copy())

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries back that were not started; they keep their order and are charged nothing."""
        for delivery in reversed(deliveries):
            self.settler.put(Settlement(delivery, RELEASED))

    def fetch(self, queue: str, limit: int, suspects: Suspects, *, alone: bool = False) -> Fetched:
        """Fetch in the name of this process; the caller takes in what it is given."""
        return self.mailbox.fetch(
            queue, limit, owner=self.owner, lease_ms=self.lease_ms, alone=alone, suspects=suspects
        )

    def wanted_suspects(self) -> Suspects:
        """What the process would take of suspects now."""
        if self.suspects:
            self.suspects.intersection_update(self.held.copy())
        if self.stuck.in_all_threads:
            return NOT_NOW
        hunts = self.alone is None and not self.stopping and self.hunt.may_begin(time.monotonic())
        return Suspects(max(0, MOST_TOGETHER - len(self.suspects)), hunts)

    def seek_alone(self, consumer: "CallboardConsumer") -> bool:
        """Empty the process for a consumer that was told of suspects; False if it is not the time for it."""
        now = time.monotonic()
        with self._alone_lock:
            if self.stopping or self.alone is not None or not self.hunt.may_begin(now):
                return False
            self.hunt.begin(now)
            self.alone = consumer
        for other in self.consumers:
            other.give_back()
        self.release(self.loop.clear())
        return True

    def end_alone(self) -> None:
        """Let all consumers fetch again."""
        self.hunt.end(time.monotonic())
        self.alone = None
        self._nudge()

    def _settle_unknown(self, delivery: Delivery) -> None:
        settlement = settlement_of_unknown(delivery)
        logger.error(
            "unknown actor",
            actor=delivery.actor,
            queue=delivery.queue,
            outcome=settlement.outcome.kind.value,
            retry_in_ms=settlement.outcome.delay_ms or None,
        )
        self.settler.put(settlement)

    def _is_busy(self) -> bool:
        return not self.stopping and self.alone is None and any(len(c.buffer) for c in self.consumers)

    def _settled(self, deliveries: Sequence[Delivery], fenced: Sequence[Delivery]) -> None:
        self.held.difference_update(deliveries)
        for delivery in fenced:
            logger.warning("fenced off: another worker holds it now", delivery=repr(delivery))
        if self.alone is not None:
            self.alone.signal.set()

    def _lost(self, deliveries: Sequence[Delivery]) -> None:
        # What is concluded may just have been settled: the settler will know whether it was fenced off.
        # It stays among what is held until then, for its handler may be running.
        running = [delivery for delivery in deliveries if not delivery.concluded and delivery in self.held]
        for delivery in running:
            delivery.lost = True
            logger.warning("lease lost: another worker may hold it now", delivery=repr(delivery))

    def _nudge(self) -> None:
        for consumer in self.consumers:
            consumer.signal.set()
