"""The proxy does to a connection what its master wishes, and hands on everything else."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.chaos.proxy import Proxy
from tests.servers import Server, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server to stand before."""
    server = start_server("valkey", tmp_path_factory.mktemp("proxied"))
    yield server
    server.stop()


@pytest.fixture
def lost() -> list[int]:
    """The process ids of those who lost a reply."""
    return []


@pytest.fixture
def proxy(server: Server, tmp_path: Path, lost: list[int]) -> Iterator[Proxy]:
    """A proxy before the server."""
    upstream = Path(server.url.removeprefix("unix://"))
    proxy = Proxy(tmp_path / "p.sock", upstream, lambda pid, _at: lost.append(pid))
    proxy.start()
    yield proxy
    proxy.close()


def connected(url: str, timeout: float = 5.0) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=timeout, retry=Retry(NoBackoff(), 0))


@pytest.fixture
def through(proxy: Proxy) -> Iterator["redis.Redis"]:
    """A client that goes through the proxy."""
    with connected(proxy.url) as client:
        client.flushdb()
        yield client


def test_what_is_asked_and_answered_passes_unchanged(through: "redis.Redis") -> None:
    large = os.urandom(1_000_000)
    through.set("large", large)
    assert through.get("large") == large


def test_a_cut_loses_the_reply_and_not_the_request(
    proxy: Proxy, through: "redis.Redis", lost: list[int]
) -> None:
    proxy.cut(b"needle")
    with pytest.raises(redis.ConnectionError):
        through.set("needle", "arrived")
    assert through.get("needle") == b"arrived"
    assert lost == [os.getpid()]


def test_a_cut_waits_for_the_request_that_it_is_for(proxy: Proxy, through: "redis.Redis") -> None:
    proxy.cut(b"needle")
    assert through.set("hay", "stack")
    proxy.disarm()
    assert through.set("needle", "passes")


def test_a_refused_request_never_reaches_the_server(proxy: Proxy, through: "redis.Redis") -> None:
    proxy.refuse(b"needle")
    with pytest.raises(redis.ReadOnlyError):
        through.set("needle", "never")
    assert through.get("other") is None
    assert through.set("needle", "once only")


def test_a_reset_breaks_connections_and_lets_new_ones_be_made(proxy: Proxy) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(proxy.url.removeprefix("unix://"))
        line.sendall(b"PING\r\n")
        assert line.recv(100) == b"+PONG\r\n"
        proxy.reset(os.getpid())
        assert line.recv(100) == b""
    # One that was open before may break a moment later.
    with connected(proxy.url) as again:
        assert again.ping()


def test_a_black_hole_swallows_requests_and_answers_nothing(proxy: Proxy, server: Server) -> None:
    with connected(proxy.url, timeout=0.05) as client, connected(server.url) as direct:
        proxy.black_hole(os.getpid(), 3600)
        with pytest.raises(redis.TimeoutError):
            client.set("swallowed", "whole")
        assert direct.get("swallowed") is None


def test_a_server_that_is_away_is_a_connection_that_breaks(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "p.sock", tmp_path / "nobody", lambda _pid, _at: None)
    proxy.start()
    with connected(proxy.url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    proxy.close()
