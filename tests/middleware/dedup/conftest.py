"""Over which stores the conformance suite plays: memory, Valkey, Redis, and the mailboxes as stores."""

import os
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import redis

from tests.middleware.dedup.stages import (
    MemoryStage,
    ServerMailboxStage,
    ServerStage,
    Stage,
    VirtualMailboxStage,
    VirtualStage,
)
from tests.servers import Server

_namespaces = count(1)

DOCUMENT = Path(__file__).parents[3] / "docs" / "server.md"

NAME, PASSWORD = "dedup", "of-a-test"
"""Of the user whose rights docs/server.md tells."""


def rules() -> list[str]:
    """What that user has besides a password; in all namespaces, since each test makes one."""
    (line,) = re.findall(r"^user dedup on resetpass #HASH (.+)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    told: str = line
    return told.replace("{default}", "{*}").split()


def _with_user(server: Server) -> Iterator[Server]:
    """A server that knows the user; at the end it must have refused him nothing."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.execute_command("ACL", "SETUSER", NAME, "reset", "on", f">{PASSWORD}", *rules())
        yield server
        assert [told for told in client.acl_log() if told["username"] == NAME] == []


@pytest.fixture(scope="session")
def store_valkey(valkey: Server) -> Iterator[Server]:
    """The Valkey of the embedded extra, with a user for stores."""
    yield from _with_user(valkey)


@pytest.fixture(scope="session")
def store_redis(redis_server: Server) -> Iterator[Server]:
    """The distribution's redis-server, with a user for stores."""
    yield from _with_user(redis_server)


def as_store(url: str) -> str:
    """The URL by which that user connects."""
    return url.replace("//", f"//{NAME}:{PASSWORD}@")


def namespace() -> str:
    """A name that no other test has."""
    return f"dedup-{os.getpid()}-{next(_namespaces)}"


def _served(
    kind: type[ServerStage], fixture: str, url_of: Callable[[str], str] = str
) -> Callable[[pytest.FixtureRequest], Stage]:
    def opened(request: pytest.FixtureRequest) -> Stage:
        server: Server = request.getfixturevalue(fixture)
        return kind(server.url, namespace(), url_of(server.url))

    return opened


STORES: dict[str, Callable[[pytest.FixtureRequest], Stage]] = {
    "virtual": lambda _: VirtualStage(),
    "memory": lambda _: MemoryStage(),
    "valkey": _served(ServerStage, "store_valkey", as_store),
    "redis_server": _served(ServerStage, "store_redis", as_store),
}
MAILBOXES: dict[str, Callable[[pytest.FixtureRequest], Stage]] = {
    "mailbox_virtual": lambda _: VirtualMailboxStage(),
    "mailbox_valkey": _served(ServerMailboxStage, "valkey"),
    "mailbox_redis_server": _served(ServerMailboxStage, "redis_server"),
}


def _opened(request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = {**STORES, **MAILBOXES}[request.param](request)
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture(params=[*STORES, *MAILBOXES])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Every store, the mailboxes among them."""
    yield from _opened(request)


@pytest.fixture(params=list(STORES))
def store_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Every store that is nothing else, for what a mailbox promises in another way."""
    yield from _opened(request)


@pytest.fixture(params=["valkey", "redis_server"])
def served_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The stores on a server."""
    yield from _opened(request)


@pytest.fixture(params=["virtual", "mailbox_virtual"])
def virtual_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """What has virtual time, for what takes days."""
    yield from _opened(request)
