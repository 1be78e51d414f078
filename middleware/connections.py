"""Connections to a server, kept between calls: a call costs little more than its bytes."""

import os
from collections import deque
from typing import Any

from hiredis import pack_command
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - redis has errors of its own by these names
    ResponseError,
    TimeoutError,  # noqa: A004 - as above
)

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
        self.place = place_of(pool)
        """Where the server is, without a secret."""

    def call(self, *command: Argument) -> Any:
        """The answer to a command; raises what the client raises."""
        connection = self._take()
        try:
            connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]  # any length
            answer = connection.read_response()
        except ResponseError:
            self._idle.append(connection)
            raise
        except (ConnectionError, TimeoutError, OSError):
            # What ended this one, such as a restart of the server, has ended the others too.
            self._drop(connection)
            self.close()
            raise
        except BaseException:
            # Whatever came between question and answer, the next one must not read this answer.
            self._drop(connection)
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the connections that are idle."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self._drop(connection)

    def _take(self) -> Connection:
        if self._process != os.getpid():
            # A fork shares its parent's sockets: leave them to the parent.
            self._idle, self._process = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.get_connection()

    def _drop(self, connection: Connection) -> None:
        connection.disconnect()
        self._pool.release(connection)


def place_of(pool: ConnectionPool) -> str:
    """The URL of a pool's server, without user and password."""
    told = pool.connection_kwargs
    if issubclass(pool.connection_class, UnixDomainSocketConnection):
        return f"unix://{told.get('path')}"
    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    host = told.get("host", "localhost")
    address = f"[{host}]" if ":" in host else host
    database = f"/{told['db']}" if told.get("db") else ""
    return f"{scheme}://{address}:{told.get('port', 6379)}{database}"
