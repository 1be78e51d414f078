"""Over which stores the conformance suite plays: memory, Valkey, Redis, and the mailboxes as stores."""

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest

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


def namespace() -> str:
    """A name that no other test has."""
    return f"dedup-{os.getpid()}-{next(_namespaces)}"


def _served(kind: type[ServerStage], fixture: str) -> Callable[[pytest.FixtureRequest], Stage]:
    def opened(request: pytest.FixtureRequest) -> Stage:
        server: Server = request.getfixturevalue(fixture)
        return kind(server.url, namespace())

    return opened


STORES: dict[str, Callable[[pytest.FixtureRequest], Stage]] = {
    "virtual": lambda _: VirtualStage(),
    "memory": lambda _: MemoryStage(),
    "valkey": _served(ServerStage, "valkey"),
    "redis_server": _served(ServerStage, "redis_server"),
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
