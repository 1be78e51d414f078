"""Tells the mailbox what a worker process is at, once something has been running for longer than a second."""

import threading
import time
from collections.abc import Callable

import structlog

from ..messages.errors import MailboxError
from ..middleware.deadline import Deadline, Watch
from ..observability.tracebacks import report
from .mailbox.mailbox import Mailbox
from .mailbox.running import MOST_TOLD, RunningAttempt
from .plain import PlainMessage

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.reporting")

EVERY_SECONDS = 1.0
"""How often it is looked, and told."""

LONG_SECONDS = 1.0
"""What ends sooner is not told of, so short handlers and idle workers cost no command."""


class AtWork:
    """What the threads and the event loop of a process are at.

    Handlers with a timeout are known by their deadlines, which costs them nothing; a plain message of
    dramatiq is noted when its attempt begins and when it ends.
    """

    def __init__(self) -> None:
        self.watches: list[Watch] = []
        self._plain: dict[int, tuple[PlainMessage, str]] = {}

    def begins(self, message: PlainMessage) -> None:
        """A plain message's attempt begins on this thread."""
        self._plain[id(message)] = (message, threading.current_thread().name)

    def ended(self, message: PlainMessage) -> None:
        """The attempt has ended."""
        self._plain.pop(id(message), None)

    def longest(self, now: float, seconds: float = LONG_SECONDS) -> list[RunningAttempt]:
        """What has been running for longer than this, the longest first; `now` by the monotonic clock."""
        known: dict[str, RunningAttempt] = {}
        for message, thread in list(self._plain.values()):
            if now - message.began > seconds:
                told = _plain_attempt(message, now - message.began, thread)
                known[told.delivery] = told
        for deadline in [each for watch in self.watches for each in watch.armed()]:
            if (told_of := _guarded_attempt(deadline, now, seconds)) is not None:
                known[told_of.delivery] = told_of
        return sorted(known.values(), key=lambda each: -each.elapsed_ms)


def _plain_attempt(message: PlainMessage, elapsed: float, thread: str) -> RunningAttempt:
    delivery = message.delivery
    return RunningAttempt(delivery.id, delivery.queue, delivery.attempt, thread, round(1000 * elapsed))


def _guarded_attempt(deadline: Deadline, now: float, seconds: float) -> RunningAttempt | None:
    # Read in the other order than it is written: what is seen is this attempt's or a later one's.
    attempt = deadline.attempt
    began, limit = deadline.began, deadline.limit
    if attempt is None or now - began <= seconds:
        return None
    held, envelope = attempt.held, getattr(attempt, "envelope", None)
    return RunningAttempt(
        held.id,
        held.queue,
        held.attempt,
        deadline.thread,
        round(1000 * (now - began)),
        round(1000 * limit),
        envelope.type if envelope else "",
        len(attempt.members),
        attempt.items.counts if attempt.items else None,
        attempt.is_stuck,
    )


class Reporter:
    """A thread that looks once a second, and tells the mailbox while there is something to tell."""

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        owner: str,
        longest: Callable[[float], list[RunningAttempt]],
        every: float = EVERY_SECONDS,
    ) -> None:
        self._mailbox = mailbox
        self._owner = owner
        self._longest = longest
        self._every = every
        self._has_told = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callboard-reporter", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and say that nothing runs any more."""
        self._stopping.set()
        self._thread.join(5)
        if self._has_told:
            self._tell([])

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - as is told here
                report(logger, "what runs could not be told", error)

    def look(self) -> None:
        """Tell what has been running for a while; that nothing has any more is told once."""
        running = self._longest(time.monotonic())
        if running or self._has_told:
            self._tell(running)

    def _tell(self, running: list[RunningAttempt]) -> None:
        try:
            told = running[:MOST_TOLD]
            self._mailbox.running.tell(self._owner, told, len(running) - len(told))
            self._has_told = bool(running)
        except MailboxError as error:
            # It is forgotten by itself, and told again in a second.
            logger.debug("the mailbox could not be told what runs", error=str(error))
