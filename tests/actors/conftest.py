"""The mailboxes that the tests of actors play on: memory, and Valkey in a workspace of its own."""

import os
from collections.abc import Iterator
from itertools import count

import pytest

from callboard import Callboard, MemoryMailbox
from callboard.actors.mailbox.mailbox import Mailbox
from tests.actors.houses import NAMES, CallboardHouse, House, RedisHouse, StubHouse
from tests.actors.mailbox.roles import ASKED_IN_VAIN, SUPER, RolesMailbox, refused_on, role_server, url_as
from tests.actors.rehearsal import new_app
from tests.servers import Server

_workspaces = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey set up as committed that tests share; it must have refused nothing to any role."""
    with role_server("valkey", tmp_path_factory.mktemp("actors")) as server:
        yield server
        assert [told for told in refused_on(server.url) if told["object"] not in ASKED_IN_VAIN] == []


@pytest.fixture(scope="session")
def server_url(server: Server) -> str:
    """The same as a worker knows it."""
    return url_as("worker", server.url)


@pytest.fixture(scope="session")
def open_url(server: Server) -> str:
    """The same for what tests plant or look at themselves, and for what is not Callboard's."""
    return url_as(SUPER, server.url)


@pytest.fixture(params=["memory", "valkey"])
def mailbox(request: pytest.FixtureRequest) -> Iterator[Mailbox]:
    """An empty mailbox, of each kind in turn."""
    made: Mailbox = MemoryMailbox()
    if request.param == "valkey":
        server: Server = request.getfixturevalue("server")
        made = RolesMailbox(server.url, f"actors-{os.getpid()}-{next(_workspaces)}")
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
        if request.param == "redis":
            yield RedisHouse(request.getfixturevalue("open_url"), unique)
            return
        mailbox = RolesMailbox(request.getfixturevalue("server").url, unique)
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
