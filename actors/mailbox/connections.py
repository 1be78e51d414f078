"""Connections to a server, kept between calls: a call costs little more than its bytes."""

import os
from collections import deque
from typing import Any

from hiredis import pack_command
from redis.connection import Connection, ConnectionPool
from redis.exceptions import ResponseError

Argument = bytes | str | int


class Connections:
    """Runs commands, each on a connection that nobody else uses meanwhile. Safe to use from many threads.

    The client's own way to run a command takes three times as long: its retries, hooks and checks are
    for those who have no retries of their own.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: deque[Connection] = deque()
        self._process = os.getpid()

    def call(self, *command: Argument) -> Any:
        """The answer to a command; raises what the client raises."""
        connection = self._take()
        try:
            connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]  # any length
            answer = connection.read_response()
        except ResponseError:
            self._idle.append(connection)
            raise
        except BaseException:
            # Whatever came between question and answer, the next one must not read this answer.
            connection.disconnect()
            self._pool.release(connection)
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            connection = self._idle.pop()
            connection.disconnect()
            self._pool.release(connection)

    def _take(self) -> Connection:
        if self._process != os.getpid():
            # A fork shares its parent's sockets: leave them to the parent.
            self._idle, self._process = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.get_connection()
