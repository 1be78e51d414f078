"""The one place of a pool that reads the mailbox's state, when it is scraped."""

import threading
import time
from collections.abc import Callable
from importlib.metadata import version

import msgspec
import structlog

from ..messages.errors import CallboardError
from .exposition import Values
from .metrics import (
    BUILD,
    LAST_SUCCESS,
    MEMORY_LIMIT,
    MEMORY_USED,
    OLDEST_DEAD,
    OLDEST_READY,
    QUEUE_DELIVERIES,
    QUEUE_DISCARDED,
    QUEUE_PAUSED,
    QUEUE_REPLAYED,
    QUEUE_WORKERS,
)
from .queues import Queues
from .state import MailboxState, StateSource

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.collector")

FRESH_FOR = 0.5
"""Seconds that a reading serves whoever asks: many scrapes and probes at once are one."""


class Collector:
    """Reads a mailbox's state, and says whether that worked. Safe to use from many threads."""

    def __init__(self, open_source: Callable[[], StateSource], callboard_version: str) -> None:
        self._open = open_source
        self._version = callboard_version
        self._source: StateSource | None = None
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._state: MailboxState | None = None
        self._server = ""
        self._succeeded_at = 0.0
        self._fault = "the mailbox was not asked yet"
        self._queues = Queues()

    def fault(self) -> str | None:
        """Why the mailbox cannot be read now; None if it can."""
        return None if self._look() is not None else self._fault

    def values(self) -> dict[str, Values]:
        """What the collector shows; of the mailbox nothing while it cannot be read."""
        state = self._look()
        told = (self._version, version("dramatiq"), self._server)
        values: dict[str, Values] = {BUILD.name: {told: 1}}
        if self._succeeded_at:
            values[LAST_SUCCESS.name] = {(): self._succeeded_at}
        return values if state is None else values | values_of(state)

    def close(self) -> None:
        """Let go of the mailbox."""
        with self._lock:
            if self._source is not None:
                self._source.close()

    def _look(self) -> MailboxState | None:
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_FOR:
                self._state = self._read()
                self._read_at = time.monotonic()
            return self._state

    def _read(self) -> MailboxState | None:
        try:
            if self._source is None:
                self._source = self._open()
            state = self._source.read()
        except CallboardError as error:
            self._fault = str(error)
            logger.warning("the state of the mailbox cannot be read", error=str(error))
            return None
        self._server, self._succeeded_at = state.server, time.time()
        return msgspec.structs.replace(state, queues=self._queues.told_apart(state.queues))


def values_of(state: MailboxState) -> dict[str, Values]:
    """The gauges of a mailbox, and what it counts of that no worker sees."""
    queues = state.queues
    memory = state.memory
    of_server: dict[str, Values] = (
        {}
        if memory is None
        else {MEMORY_USED.name: {(): memory.used_bytes}, MEMORY_LIMIT.name: {(): memory.limit_bytes}}
    )
    return of_server | {
        QUEUE_DELIVERIES.name: {
            (each.queue, name): getattr(each, name)
            for each in queues
            for name in ("ready", "waiting", "leased", "scheduled", "dead")
        },
        OLDEST_READY.name: {(each.queue,): each.oldest_ready_ms / 1000 for each in queues},
        OLDEST_DEAD.name: {(each.queue,): each.oldest_dead_ms / 1000 for each in queues},
        QUEUE_WORKERS.name: {(each.queue,): each.workers for each in queues},
        QUEUE_PAUSED.name: {(each.queue,): each.paused for each in queues},
        QUEUE_DISCARDED.name: {(each.queue,): each.discarded for each in queues},
        QUEUE_REPLAYED.name: {(each.queue,): each.replayed for each in queues},
    }
