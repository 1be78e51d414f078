"""What a server does while a fault is made on it, and how Callboard names it."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.errors import MailboxRefused, MailboxUnavailable
from tests.chaos.load import USER
from tests.chaos.server_faults import ALLOWED, FORBIDDEN, SLOWLY, await_synced
from tests.servers import Kind, Server, start_server

MANY = 5000
"""Keys that take a server long enough to load for somebody to ask meanwhile."""


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that knows the user of the load."""
    kind: Kind = request.param
    server = start_server(kind, tmp_path / "s", "--user", USER, "on", "nopass", *ALLOWED)
    yield server
    server.stop()


@pytest.fixture
def client(server: Server) -> Iterator["redis.Redis"]:
    """One who may do everything."""
    with redis.Redis.from_url(server.url) as client:
        yield client


def mailbox_of(url: str) -> RedisMailbox:
    """That of the load, which gives up soon."""
    return RedisMailbox(url.replace("unix://", f"unix://{USER}@"), patience=0.0)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_who_is_forbidden_something_is_refused_until_it_is_allowed_again(
    server: Server, client: "redis.Redis", what: str
) -> None:
    with closing(mailbox_of(server.url)) as mailbox:
        mailbox.heartbeat("w")
        client.execute_command("ACL", "SETUSER", USER, FORBIDDEN[what])
        with pytest.raises(MailboxRefused):
            mailbox.heartbeat("w")
        with pytest.raises(MailboxRefused):
            mailbox.wait("default", 0.01)
        client.execute_command("ACL", "SETUSER", USER, *ALLOWED)
        mailbox.heartbeat("w")


def test_a_restart_allows_again_what_was_forbidden(server: Server, client: "redis.Redis") -> None:
    client.execute_command("ACL", "SETUSER", USER, FORBIDDEN["commands"])
    server.restart()
    with closing(mailbox_of(server.url)) as mailbox:
        mailbox.heartbeat("w")


def test_a_server_that_loads_is_not_to_be_reached_and_then_has_everything(
    server: Server, client: "redis.Redis"
) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for number in range(MANY):
            pipeline.set(f"key {number}", number)
        pipeline.execute()
    await_synced(client)
    server.kill()
    restart = threading.Thread(target=server.restart, args=SLOWLY)
    restart.start()
    told: set[str] = set()
    with closing(mailbox_of(server.url)) as mailbox:
        while restart.is_alive():
            try:
                mailbox.heartbeat("w")
            except MailboxUnavailable as error:
                told.add(str(error))
        restart.join()
        mailbox.heartbeat("w")
    assert any("BusyLoadingError" in error for error in told)
    assert client.get(f"key {MANY - 1}") is not None
