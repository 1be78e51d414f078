"""The mailboxes that the tests of actors play on: memory, and Valkey in a workspace of its own."""

import os
from collections.abc import Iterator
from itertools import count

import pytest

from callboard import Callboard, MemoryMailbox
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.houses import NAMES, CallboardHouse, House, RedisHouse, StubHouse
from tests.actors.rehearsal import new_app
from tests.servers import start_server

_workspaces = count(1)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey that all tests of a run share."""
    server = start_server("valkey", tmp_path_factory.mktemp("actors"))
    yield server.url
    server.stop()


@pytest.fixture(params=["memory", "valkey"])
def mailbox(request: pytest.FixtureRequest) -> Iterator[Mailbox]:
    """An empty mailbox, of each kind in turn."""
    made: Mailbox = MemoryMailbox()
    if request.param == "valkey":
        url = request.getfixturevalue("server_url")
        made = RedisMailbox(url, workspace=f"actors-{os.getpid()}-{next(_workspaces)}")
    yield made
    made.close()


@pytest.fixture
def app(mailbox: Mailbox) -> Callboard:
    """An app on an empty mailbox of each kind."""
    return new_app(mailbox)


@pytest.fixture(params=NAMES)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """An empty broker, dramatiq's own and Callboard's in turn."""
    if request.param == "stub":
        yield StubHouse()
        return
    unique = f"house-{os.getpid()}-{next(_workspaces)}"
    if request.param == "memory":
        mailbox: Mailbox = MemoryMailbox()
    else:
        url = request.getfixturevalue("server_url")
        if request.param == "redis":
            yield RedisHouse(url, unique)
            return
        mailbox = RedisMailbox(url, workspace=unique)
    yield CallboardHouse(mailbox)
    mailbox.close()


@pytest.fixture
def memory_app() -> Iterator[Callboard]:
    """An app on a mailbox in memory, where the kind of mailbox makes no difference."""
    made = new_app()
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is for an unknown actor is dead at once, where a deploy would be waited for."""
    monkeypatch.setattr("callboard.middleware.unknown.UNKNOWN_FOR_MS", 0)
