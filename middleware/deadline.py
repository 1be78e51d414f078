"""When a handler must have ended: one thread that interrupts those that have not, and says which will not.

An interruption is an asynchronous exception, which Python delivers at some later bytecode of a thread.
It must not land outside the handler, so it is set under a lock that the handler's thread also takes to
disarm, and what is still pending then is cleared while the lock is held.
"""

import asyncio
import ctypes
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from ..observability.tracebacks import report
from .signals import TimeIsUp

if TYPE_CHECKING:
    from .attempt import Attempt

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.deadline")

STUCK_AFTER = 1.0
"""Seconds that an interrupted handler has to end, before it is reported as stuck."""

OFTEN_ENOUGH = 0.02
"""No limit makes the watch look more often than once in so many seconds."""

# By its name in brackets it is an object of our own: dramatiq calls the shared one with other types.
_set_async_exc = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()
"""NULL: clears an exception that has not been delivered yet."""


class Deadline(ABC):
    """When what one thread or task runs now must have ended.

    Made once for each thread or task, and armed for each attempt.
    """

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch
        self._lock = threading.Lock()
        self._at = math.inf
        self.attempt: Attempt | None = None
        """The attempt that runs, None if there is none; set last, so that `began` and `limit` are its own."""
        self.began = 0.0
        """When the attempt began, by the monotonic clock, seconds."""
        self.limit = math.inf
        """Seconds that the attempt may take."""
        self.fired = False
        """Whether the attempt was interrupted."""

    def arm(self, attempt: "Attempt", limit: float) -> None:
        """Let an attempt begin that may take `limit` seconds."""
        self.fired = False
        self.began = began = time.monotonic()
        self.limit = limit
        self.attempt = attempt
        self._at = began + limit
        if limit < self._watch.shortest:
            self._watch.look_soon(limit)

    def set_limit(self, limit: float) -> None:
        """Let what runs take `limit` seconds from its beginning."""
        self.limit = limit
        self._at = self.began + limit
        if limit < self._watch.shortest:
            self._watch.look_soon(limit)

    def remaining(self) -> float:
        """Seconds left, 0 when there are none."""
        return max(0.0, self.began + self.limit - time.monotonic())

    def disarm(self) -> None:
        """The handler has ended: nothing can interrupt it from now on."""
        with self._lock:
            self._at = math.inf
            self.attempt = None
            if self.fired:
                self._clear()

    def look(self, now: float) -> float:
        """Do what is due, and say when to look again."""
        if self._at > now:
            return self._at
        with self._lock:
            if self._at > now:
                return self._at
            if not self.fired:
                self.fired = True
                self._at = now + STUCK_AFTER
                self._fire()
                return self._at
            self._at = math.inf
            attempt = self.attempt
            if attempt is not None:
                # Under the lock: from here on the handler's own thread finds that it is too late.
                for member in {attempt, *attempt.members}:
                    member.is_stuck = True
                    member.given_up = self._watch.stuck is not None
        if attempt is not None:
            self._report(attempt, now)
        return math.inf

    def _report(self, attempt: "Attempt", now: float) -> None:
        logger.error(
            "stuck: a handler goes on after it was interrupted",
            actor=attempt.policy.actor,
            attempt=attempt.delivery.attempt,
            seconds=round(now - self.began, 1),
        )
        if self._watch.stuck is not None:
            self._watch.stuck(attempt)

    @property
    @abstractmethod
    def thread(self) -> str:
        """The name of the thread that runs it."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether it will never be armed again."""

    @abstractmethod
    def _fire(self) -> None:
        """Interrupt what runs."""

    @abstractmethod
    def _clear(self) -> None:
        """Take back an interruption that has not arrived."""


class ThreadDeadline(Deadline):
    """The deadline of what the thread that makes it runs."""

    def __init__(self, watch: "Watch") -> None:
        super().__init__(watch)
        self._thread = threading.current_thread()
        self._ident = threading.get_ident()

    @property
    def thread(self) -> str:
        """The name of the thread that runs it."""
        return self._thread.name

    def is_over(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def _fire(self) -> None:
        _set_async_exc(self._ident, TimeIsUp)

    def _clear(self) -> None:
        _set_async_exc(self._ident, _NOTHING)


class TaskDeadline(Deadline):
    """The deadline of what the current task of an event loop runs; interrupting it is cancelling it."""

    def __init__(self, watch: "Watch") -> None:
        super().__init__(watch)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._cancelled = False
        self._on = threading.current_thread().name

    @property
    def thread(self) -> str:
        """The name of the thread that runs it: its event loop's."""
        return self._on

    def is_over(self) -> bool:
        """Whether the task or its loop has ended."""
        return self._task is None or self._task.done() or self._loop.is_closed()

    def _fire(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            logger.debug("the event loop was closed before its task was interrupted")

    def _cancel(self) -> None:
        if self._task is not None and self._at != math.inf:
            self._cancelled = True
            self._task.cancel()

    def _clear(self) -> None:
        # Once, for a worker that stops may have cancelled the task as well.
        if self._cancelled and self._task is not None:
            self._cancelled = False
            self._task.uncancel()


class Watch:
    """The thread that looks at all deadlines of a process, when one may be due and not before.

    `stuck` is told of each attempt that goes on after it was interrupted, and says in its place what it came
    to; None where nobody can, as on brokers other than Callboard's.
    """

    def __init__(self, stuck: "Callable[[Attempt], None] | None" = None) -> None:
        self.stuck = stuck
        self.shortest = math.inf
        """The shortest limit that was ever armed: nothing armed after a look is due sooner."""
        self._deadlines: set[Deadline] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._own = threading.local()

    def of_thread(self) -> Deadline:
        """The deadline of the thread that asks."""
        try:
            known: Deadline = self._own.deadline
        except AttributeError:
            known = self._own.deadline = ThreadDeadline(self)
            self._add(known)
        return known

    def of_task(self) -> Deadline:
        """A deadline for the task that asks; give it back with `forget`."""
        made = TaskDeadline(self)
        self._add(made)
        return made

    def forget(self, deadline: Deadline) -> None:
        """A task's deadline will not be armed again."""
        with self._lock:
            self._deadlines.discard(deadline)

    def armed(self) -> list[Deadline]:
        """The deadlines of what runs now."""
        with self._lock:
            return [each for each in self._deadlines if each.attempt is not None]

    def look_soon(self, limit: float) -> None:
        """Look no later than in so many seconds."""
        self.shortest = max(limit, OFTEN_ENOUGH)
        self._wake.set()

    def _add(self, deadline: Deadline) -> None:
        with self._lock:
            self._deadlines.add(deadline)
            # A fork has the object, but not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="callboard-deadlines", daemon=True)
                self._thread.start()

    def _look(self, deadline: Deadline, now: float) -> float:
        try:
            due = deadline.look(now)
            if deadline.is_over():
                self.forget(deadline)
        except Exception as error:  # noqa: BLE001 - as is told here
            # The thread must live: without it no handler is interrupted any more.
            report(logger, "a deadline could not be looked after", error)
            return math.inf
        return due

    def _run(self) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            soonest = now + self.shortest
            with self._lock:
                known = tuple(self._deadlines)
            for deadline in known:
                soonest = min(soonest, self._look(deadline, now))
            self._wake.wait(min(max(0.0, soonest - time.monotonic()), threading.TIMEOUT_MAX))
