"""Waiting for a wake-up key, to the millisecond and with hardly a command to the server."""

import threading
import time

from redis.connection import Connection, ConnectionPool
from redis.exceptions import ConnectionError  # noqa: A004 - redis has errors of its own by these names

_BLOCK_SECONDS = 60
"""How long the server is asked to block. It ends a block up to 100 ms late, so the deadline is kept here."""

_SLICE_SECONDS = 0.25
"""How soon a wait sees that the mailbox has been closed."""


class WakeUps:
    """A blocked command for each queue that is waited for, on a connection of its own.

    The command stays under way when a wait ends without a wake-up, for the next wait; whoever stops
    waiting must `leave`, or it would take the wake-up from a worker that has time.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._blocked: dict[str, Connection] = {}
        self._lock = threading.Lock()
        self._closed = False

    def wait(self, key: str, seconds: float) -> bool:
        """Wait for an element of the list `key` for at most `seconds`; whether there was one."""
        deadline = time.monotonic() + seconds
        with self._lock:
            connection = self._blocked.pop(key, None)
        if connection is None:
            connection = self._pool.get_connection()
            self._send(connection, key)
        try:
            while not connection.can_read(max(0.0, min(deadline - time.monotonic(), _SLICE_SECONDS))):
                if self._closed:
                    raise ConnectionError("closed while waiting")
                if time.monotonic() >= deadline:
                    self._keep(key, connection)
                    return False
            answer = connection.read_response(timeout=1)
        except BaseException:
            self._drop(connection)
            raise
        self._pool.release(connection)
        return answer is not None

    def leave(self, key: str) -> None:
        """Take a blocked command back. A wake-up lost by this is followed by a fetch of the same queue."""
        if key in self._blocked:
            with self._lock:
                connection = self._blocked.pop(key, None)
            if connection is not None:
                self._drop(connection)

    def close(self) -> None:
        """End all waits."""
        self._closed = True
        for key in list(self._blocked):
            self.leave(key)
        self._pool.disconnect(inuse_connections=False)

    def _send(self, connection: Connection, key: str) -> None:
        try:
            connection.send_command("BLPOP", key, _BLOCK_SECONDS)
        except BaseException:
            self._drop(connection)
            raise

    def _keep(self, key: str, connection: Connection) -> None:
        with self._lock:
            other = self._blocked.pop(key, None)
            self._blocked[key] = connection
        if other is not None:
            self._drop(other)

    def _drop(self, connection: Connection) -> None:
        connection.disconnect()
        self._pool.release(connection)
