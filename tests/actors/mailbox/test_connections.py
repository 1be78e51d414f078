"""Connections that are kept are dropped together when their server has gone, and errors name the server."""

import threading
from contextlib import closing
from pathlib import Path

import pytest
import redis
from redis.exceptions import ConnectionError as Lost

from callboard.actors.mailbox.connections import Connections, place_of
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.errors import MailboxUnavailable
from tests.servers import start_server

SECRET = "hunter2"  # noqa: S105 - planted, to be looked for


def grow(connections: Connections, count: int) -> None:
    """Have many connections idle, by using as many at a time."""
    together = threading.Barrier(count)

    def use() -> None:
        connection = connections._take()
        together.wait(10)
        connections._idle.append(connection)

    threads = [threading.Thread(target=use) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_after_a_restart_of_the_server_one_call_fails_and_no_other(tmp_path: Path) -> None:
    server = start_server("valkey", tmp_path)
    client = redis.Redis.from_url(server.url)
    connections = Connections(client.connection_pool)
    try:
        grow(connections, 20)
        assert len(connections._idle) == 20
        server.restart()
        with pytest.raises(Lost):
            connections.call("PING")
        assert not connections._idle
        assert connections.call("PING") in (True, b"PONG")
    finally:
        connections.close()
        client.close()
        server.stop()


def test_an_answer_that_is_an_error_costs_no_connection(tmp_path: Path) -> None:
    server = start_server("valkey", tmp_path)
    client = redis.Redis.from_url(server.url)
    connections = Connections(client.connection_pool)
    try:
        grow(connections, 3)
        with pytest.raises(redis.ResponseError):
            connections.call("NO-SUCH-COMMAND")
        assert len(connections._idle) == 3
    finally:
        connections.close()
        client.close()
        server.stop()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"redis://ann:{SECRET}@db.internal:7000/2", "redis://db.internal:7000/2"),
        (f"rediss://:{SECRET}@[::1]", "rediss://[::1]:6379"),
        ("redis://", "redis://localhost:6379"),
        (f"unix://ann:{SECRET}@/run/valkey.sock?db=1", "unix:///run/valkey.sock"),
    ],
)
def test_a_place_is_told_without_user_and_password(url: str, place: str) -> None:
    with closing(redis.Redis.from_url(url)) as client:
        assert place_of(client.connection_pool) == place


def test_an_unreachable_server_is_named_with_the_mend_and_without_its_password() -> None:
    with closing(RedisMailbox(f"redis://:{SECRET}@127.0.0.1:1/0", patience=0.0)) as mailbox:
        with pytest.raises(MailboxUnavailable, match=r"redis://127\.0\.0\.1:1 .* see that it runs") as caught:
            mailbox.routes()
        assert SECRET not in str(caught.value)
