"""Handlers that go on after they were interrupted: what is settled in their place, and how many there are."""

import threading
from typing import TYPE_CHECKING

import structlog
from dramatiq.middleware import SkipMessage

from ..messages.delivery import Outcome
from ..middleware.attempt import Attempt
from ..middleware.batched import given_up
from ..middleware.plain_answer import answer
from ..observability.tracebacks import report
from .performing import settlement_of
from .plain import message_of

if TYPE_CHECKING:
    from .worker import WorkerProcess

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.stuck")


class Stuck:
    """The handlers of one worker process that will not end, each still in its thread or task.

    Such an attempt has failed with `HandlerTimeout`, charged and retried like any other that has. What its
    handler comes to later is dropped. Its thread is not replaced: a process has as many as it was given,
    which bounds what can be stuck.
    """

    def __init__(self, worker: "WorkerProcess") -> None:
        self._worker = worker
        self._attempts: set[Attempt] = set()
        """Whoever is first of the watch and the handler's own thread puts it in, the other takes it out."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._attempts)

    @property
    def in_threads(self) -> int:
        """How many worker threads they hold."""
        with self._lock:
            return sum(not self._is_async(attempt) for attempt in self._attempts)

    @property
    def in_all_threads(self) -> bool:
        """Whether no thread is left to run anything."""
        return bool(self._attempts) and self.in_threads >= self._worker.threads

    def give_up(self, attempt: Attempt) -> None:
        """Settle an attempt as failed in the place of its handler; told by the watch, which must not wait."""
        with self._lock:
            self._attempts ^= {attempt}
        if self.in_all_threads:
            logger.error(
                "every thread of this worker is stuck: restart it, for it runs no `def` handler any more",
                threads=self._worker.threads,
            )
        # Layers may wait for a server, as that of a dedup store does.
        threading.Thread(target=self._settle, args=(attempt,), name="callboard-stuck", daemon=True).start()

    def has_ended(self, attempt: Attempt) -> None:
        """The handler has ended after all, too late for anything but its thread."""
        with self._lock:
            self._attempts ^= {attempt}
        logger.warning(
            "fenced off: a handler that was given up has ended",
            actor=attempt.policy.actor,
            attempt=attempt.delivery.attempt,
            fence=attempt.delivery.fence,
        )

    def _settle(self, attempt: Attempt) -> None:
        try:
            self._conclude(attempt)
        except Exception as error:  # noqa: BLE001 - as is told here
            report(logger, "stuck: nothing could be settled in its place, its lease ends by itself", error)
            for member in attempt.members:
                member.held.lost = True
                self._worker.held.discard(member.held)

    def _conclude(self, attempt: Attempt) -> None:
        worker = self._worker
        is_plain = worker.broker.declared.guarded(attempt.policy.actor) is None
        for each, outcome in given_up(attempt):
            if is_plain:
                self._settle_plain(each, outcome)
            else:
                worker.settle(each, settlement_of(each, outcome))

    def _settle_plain(self, attempt: Attempt, outcome: Outcome) -> None:
        """Do what dramatiq's worker would, with a copy of the message: its own is left to its thread."""
        worker, message = self._worker, message_of(attempt.held)
        error = answer(message, attempt, outcome)
        if isinstance(error, SkipMessage):
            worker.broker.emit_after("skip_message", message)
        else:
            message.stuff_exception(error)
            worker.broker.emit_after("process_message", message, exception=error)
        throws = worker.broker.get_actor(message.actor_name).options.get("throws")
        settlement = message.nacked(throws) if message.failed else message.acked()
        worker.settle_plain(message, settlement)

    def _is_async(self, attempt: Attempt) -> bool:
        guarded = self._worker.broker.declared.guarded(attempt.policy.actor)
        return guarded is not None and guarded.is_async
