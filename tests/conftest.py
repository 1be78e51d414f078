"""The servers that suites of more than one folder play on; each test has a namespace of its own there."""

from collections.abc import Iterator

import pytest

from tests.servers import Kind, Server, start_server


def _start(kind: Kind, factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_server(kind, factory.mktemp(kind))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Valkey of the embedded extra."""
    yield from _start("valkey", tmp_path_factory)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The distribution's redis-server."""
    yield from _start("redis", tmp_path_factory)
