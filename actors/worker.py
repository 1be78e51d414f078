"""What one worker process holds between fetching a delivery and settling it."""

import os
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from ..messages.delivery import RELEASED, Delivery, Outcome, OutcomeKind, Reason
from ..messages.envelope import Envelope
from ..middleware.attempt import Attempt
from ..middleware.retry import decided
from ..middleware.stack import Guarded, failure
from .eventloop import EventLoop
from .mailbox.mailbox import MIN_WINDOW_MS, Mailbox, Settlement
from .renewer import Renewer
from .settler import Settler

if TYPE_CHECKING:
    from .broker import CallboardBroker
    from .consumer import CallboardConsumer

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.worker")


def owner_name() -> str:
    """A name for this process that an operator can find and that no other process ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"


class WorkerProcess:
    """The consumers of a process share its threads, its settler, its renewer and its event loop."""

    def __init__(self, broker: "CallboardBroker", mailbox: Mailbox, *, threads: int) -> None:
        self.broker = broker
        self.mailbox = mailbox
        self.threads = threads
        self.lease_ms = broker.lease_ms
        self.owner = owner_name()
        self.stopping = False
        self.held: set[Delivery] = set()
        """All that was fetched and is not settled yet."""
        self.consumers: list[CallboardConsumer] = []
        self.alone: CallboardConsumer | None = None
        """The consumer for which the process holds nothing else, while it runs suspects."""
        self._alone_lock = threading.Lock()
        self.settler = Settler(mailbox, busy=self._is_busy, settled=self._settled, reroute=broker.reroute)
        self.renewer = Renewer(
            mailbox,
            owner=self.owner,
            lease_ms=self.lease_ms,
            held=lambda: [delivery for delivery in self.held.copy() if not delivery.lost],
            lost=self._lost,
            confirm=broker.confirm_routes,
        )
        self.loop = EventLoop(self._perform_async, in_flight=broker.in_flight, freed=self._nudge)

    def start(self) -> None:
        """Start the threads that serve the worker threads."""
        self.settler.start()
        self.renewer.start()
        self.loop.start()

    def begin_stop(self) -> None:
        """Take no more: threads end after what they run now, the rest goes back."""
        self.stopping = True
        self.loop.admit_no_more()
        self.release(self.loop.clear())
        self._nudge()

    def end_stop(self, seconds: float) -> None:
        """Wait for handlers on the event loop, commit what is left, and leave."""
        self.loop.stop(seconds)
        self.release(self.loop.clear())
        unwritten = self.settler.stop(seconds)
        self.renewer.stop()
        if unwritten:
            logger.error(
                "settlements could not be written; their deliveries will start again", count=unwritten
            )

    def perform(self, delivery: Delivery, guarded: Guarded | None) -> None:
        """Run one attempt at a delivery on this thread and hand over its outcome."""
        if delivery.lost:
            self.held.discard(delivery)
            return
        if guarded is None:
            self._settle_unknown(delivery)
            return
        attempt = Attempt(delivery, guarded.policy)
        try:
            if not self.broker.hooks.any:
                outcome = guarded.perform(attempt)
            else:
                with self.broker.hooks.around(delivery) as hooked:
                    outcome = hooked.outcome = hooked.skipped or guarded.perform(attempt)
        except BaseException as error:  # noqa: BLE001 - a layer's fault must not strand the delivery
            outcome = layer_fault(attempt, error)
        self.settle(attempt, guarded, outcome)

    async def _perform_async(self, delivery: Delivery) -> None:
        if delivery.lost:
            self.held.discard(delivery)
            return
        guarded = self.broker.guarded(delivery.actor)
        if guarded is None:
            self._settle_unknown(delivery)
            return
        attempt = Attempt(delivery, guarded.policy)
        outcome = RELEASED  # what it comes to if it is cancelled because the worker stops
        try:
            if not self.broker.hooks.any:
                outcome = await guarded.aperform(attempt)
            else:
                with self.broker.hooks.around(delivery) as hooked:
                    outcome = hooked.outcome = hooked.skipped or await guarded.aperform(attempt)
        except Exception as error:  # noqa: BLE001 - as above
            outcome = layer_fault(attempt, error)
        finally:
            self.settle(attempt, guarded, outcome)

    def settle(self, attempt: Attempt, guarded: Guarded, outcome: Outcome) -> None:
        """Hand an attempt's outcome to the settler."""
        kind = outcome.kind
        if kind is OutcomeKind.SUCCEEDED:
            # A layer of the user's may have answered before the envelope was read.
            envelope: Envelope | None = getattr(attempt, "envelope", None)
            window_ms = guarded.policy.contracts[envelope.type] if envelope else MIN_WINDOW_MS
            if attempt.published:
                self.settler.put(
                    Settlement(attempt.delivery, outcome, window_ms, None, tuple(attempt.published))
                )
            else:
                self.settler.put(Settlement(attempt.delivery, outcome, window_ms))
            return
        charged = None if kind is OutcomeKind.RELEASED else attempt.history(outcome.error)
        self.settler.put(Settlement(attempt.delivery, outcome, MIN_WINDOW_MS, charged))
        log_outcome(attempt, outcome)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries back that were not started; they keep their order and are charged nothing."""
        for delivery in reversed(deliveries):
            self.settler.put(Settlement(delivery, RELEASED))

    def seek_alone(self, consumer: "CallboardConsumer") -> bool:
        """Empty the process for a consumer that was told of suspects; False if another is at it."""
        with self._alone_lock:
            if self.alone is not None:
                return self.alone is consumer
            self.alone = consumer
        for other in self.consumers:
            other.give_back()
        self.release(self.loop.clear())
        return True

    def end_alone(self) -> None:
        """Let all consumers fetch again."""
        self.alone = None
        self._nudge()

    def _settle_unknown(self, delivery: Delivery) -> None:
        outcome = Outcome(OutcomeKind.DEAD, Reason.UNKNOWN_ACTOR, f"no actor {delivery.actor!r} here")
        logger.error("dead: unknown actor", actor=delivery.actor, queue=delivery.queue)
        self.settler.put(Settlement(delivery, outcome, history=delivery.history))

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


def layer_fault(attempt: Attempt, error: BaseException) -> Outcome:
    """What a fault of a layer, not of the handler, comes to: by the policy that a handler's would meet."""
    logger.exception("a layer failed", actor=attempt.policy.actor)
    attempt.started = True
    return decided(attempt, failure(attempt, error))


def log_outcome(attempt: Attempt, outcome: Outcome) -> None:
    """One line for an attempt that did not succeed; it carries no body."""
    error = outcome.error
    logger.warning(
        outcome.kind.value,
        actor=attempt.policy.actor,
        attempt=attempt.delivery.attempt,
        reason=outcome.reason.value if outcome.reason else None,
        error=error.type if error else None,
        retry_in_ms=outcome.delay_ms or None,
        event_id=attempt.envelope.id if hasattr(attempt, "envelope") else None,
    )
