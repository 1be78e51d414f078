"""Over which mailboxes the conformance suite plays: memory in both kinds of time, Valkey and Redis."""

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.mailbox.conformance import MemoryStage, ServerStage, Stage, VirtualStage
from tests.actors.mailbox.roles import SUPER, RolesMailbox, refused_on, role_server, url_as
from tests.servers import Server

_workspaces = count(1)

ROLE_KINDS = ["roles", "roles_redis"]
"""Servers on which each step is taken by a role that takes it."""


@pytest.fixture(scope="session")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey with the committed configuration and users; at the end it must have refused nothing."""
    with role_server("valkey", tmp_path_factory.mktemp("roles")) as server:
        yield server
        assert refused_on(server.url) == []


@pytest.fixture(scope="session")
def roles_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The distribution's redis-server with the same configuration and users."""
    with role_server("redis", tmp_path_factory.mktemp("roles-redis")) as server:
        yield server
        assert refused_on(server.url) == []


def _open_roles_stage(url: str) -> ServerStage:
    """A workspace of its own, in which every script is run by a role that runs it."""
    name = f"test-{os.getpid()}-{next(_workspaces)}"
    return ServerStage(
        url_as(SUPER, url), lambda: RolesMailbox(url, name), lambda: RolesMailbox(url, f"{name}-other")
    )


def _open_stage(url: str) -> ServerStage:
    """A workspace of its own on a server."""
    name = f"test-{os.getpid()}-{next(_workspaces)}"
    return ServerStage(
        url, lambda: RedisMailbox(url, workspace=name), lambda: RedisMailbox(url, workspace=f"{name}-other")
    )


@pytest.fixture
def open_stage() -> Callable[[str], ServerStage]:
    """Opens workspaces on a server, a new one each time."""
    return _open_stage


def _stage(kind: str, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage: Stage
    if kind == "virtual":
        stage = VirtualStage()
    elif kind == "memory":
        stage = MemoryStage()
    else:
        server: Server = request.getfixturevalue(kind)
        stage = _open_roles_stage(server.url) if kind in ROLE_KINDS else _open_stage(server.url)
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture(params=["virtual", "memory", "valkey", "redis_server", *ROLE_KINDS])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Every mailbox, each with an empty workspace; memory in virtual and in real time."""
    yield from _stage(request.param, request)


@pytest.fixture(params=["memory", "valkey", "redis_server", *ROLE_KINDS])
def live_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The same in real time only, for what happens while a thread waits."""
    yield from _stage(request.param, request)


@pytest.fixture
def virtual_stage() -> Iterator[VirtualStage]:
    """Memory in virtual time, for what takes minutes or days."""
    stage = VirtualStage()
    yield stage
    stage.close()


@pytest.fixture(params=["valkey", "redis_server"])
def server_stage(
    request: pytest.FixtureRequest, open_stage: Callable[[str], ServerStage]
) -> Iterator[ServerStage]:
    """A workspace on each server."""
    stage = open_stage(request.getfixturevalue(request.param).url)
    yield stage
    stage.close()
