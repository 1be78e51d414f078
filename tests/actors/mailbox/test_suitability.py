"""A server that would lose deliveries is refused or warned of, with the mend."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from callboard.actors.mailbox.suitability import Finding, ensure_suitable, examine
from callboard.messages.errors import MailboxRefused, MailboxUnavailable, UnsuitableServer
from tests.servers import Kind, start_server


@contextmanager
def client_of(kind: Kind, directory: Path, *options: str, **ways: Any) -> Iterator["redis.Redis"]:
    server = start_server(kind, directory, *options)
    try:
        with redis.Redis.from_url(server.url, **ways) as client:
            yield client
    finally:
        server.kill()


class Lines:
    """A log that remembers what was written."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.written.append({"event": event, **fields})


def severities_of(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.mend) for finding in findings]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize("ways", [{}, {"decode_responses": True}, {"protocol": 2}, {"protocol": 3}])
def test_a_server_that_is_set_up_well_has_no_findings(
    kind: Kind, tmp_path: Path, ways: dict[str, Any]
) -> None:
    with client_of(kind, tmp_path, **ways) as client:
        assert examine(client) == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_refused(policy: str, tmp_path: Path) -> None:
    with client_of("valkey", tmp_path, "--maxmemory", "10mb", "--maxmemory-policy", policy) as client:
        with pytest.raises(UnsuitableServer, match="evict deliveries") as caught:
            ensure_suitable(client, Lines())
        assert "set maxmemory-policy to noeviction" in str(caught.value)


def test_a_full_server_that_refuses_is_suitable(tmp_path: Path) -> None:
    with client_of("valkey", tmp_path, "--maxmemory", "10mb") as client:
        assert examine(client) == []


def test_a_server_that_would_evict_with_a_limit_is_warned_of(tmp_path: Path) -> None:
    with client_of("valkey", tmp_path, "--maxmemory-policy", "allkeys-lru") as client:
        assert severities_of(examine(client)) == [("warn", "set maxmemory-policy to noeviction")]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--appendonly", "no"), "keeps nothing on disk"),
        (("--appendonly", "no", "--save", "60 1"), "only takes snapshots"),
        (("--appendfsync", "no"), "leaves it to the system"),
    ],
)
def test_a_server_that_keeps_too_little_on_disk_is_warned_of_once(
    kind: Kind, options: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    log = Lines()
    with client_of(kind, tmp_path, *options) as client:
        ensure_suitable(client, log)
    assert len(log.written) == 1
    assert log.written[0]["event"] == "server_not_ideal"
    assert told in log.written[0]["what"]
    assert "everysec" in log.written[0]["mend"]


def test_a_replica_is_refused_and_its_primary_named(tmp_path: Path) -> None:
    with (
        client_of("valkey", tmp_path, "--replicaof", "localhost 1") as client,
        pytest.raises(UnsuitableServer, match="connect to its primary, localhost:1"),
    ):
        ensure_suitable(client, Lines())


def test_all_refusals_are_told_at_once_and_warnings_are_logged_all_the_same(tmp_path: Path) -> None:
    options = ("--replicaof", "localhost 1", "--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru")
    log = Lines()
    with (
        client_of("valkey", tmp_path, *options, "--appendonly", "no") as client,
        pytest.raises(UnsuitableServer) as caught,
    ):
        ensure_suitable(client, log)
    assert len(str(caught.value).splitlines()) == 2
    assert len(log.written) == 1


@contextmanager
def limited_client_of(directory: Path, *commands: str) -> Iterator["redis.Redis"]:
    """A client that has not the right to some commands."""
    with client_of("valkey", directory) as client:
        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+acl", *commands])
        yield client


def test_where_config_is_not_permitted_info_is_enough(tmp_path: Path) -> None:
    with limited_client_of(tmp_path, "-config") as client:
        assert examine(client) == []


def test_where_info_is_not_permitted_that_is_all_that_is_found(tmp_path: Path) -> None:
    with limited_client_of(tmp_path, "-info") as client:
        assert severities_of(examine(client)) == [("warn", "permit the INFO command to this user")]


def test_a_wrong_password_is_told_without_the_password(tmp_path: Path) -> None:
    with (
        client_of("valkey", tmp_path, "--requirepass", "right", password="hunter2") as client,  # noqa: S106
        pytest.raises(MailboxRefused) as caught,
    ):
        ensure_suitable(client, Lines())
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with (
        redis.Redis.from_url(f"unix://{tmp_path}/none.sock") as client,
        pytest.raises(MailboxUnavailable),
    ):
        ensure_suitable(client, Lines())


class Pretender(socketserver.StreamRequestHandler):
    """Answers INFO with what a server of another version would say, and refuses all else."""

    info = ""

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
            told = (
                f"${len(self.info)}\r\n{self.info}\r\n" if words[0] == b"INFO" else "-ERR unknown command\r\n"
            )
            self.wfile.write(told.encode())


@contextmanager
def pretending(path: Path, info: str) -> Iterator["redis.Redis"]:
    handler = type("Saying", (Pretender,), {"info": info})
    with socketserver.UnixStreamServer(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with closing(redis.Redis(unix_socket_path=str(path), protocol=2)) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("info", "severity", "told"),
    [
        ("redis_version:6.2.14\r\n", "refuse", "Redis 6.2.14, which is too old"),
        ("redis_version:7.0.0\r\n", None, ""),
        ("redis_version:10.1.0\r\n", None, ""),
        ("redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n", None, ""),
        ("redis_version:unstable\r\n", "warn", "cannot be read"),
        ("", "warn", "cannot be read"),
        ("redis_version:7.2.0\r\nredis_mode:sentinel\r\n", "refuse", "Sentinel"),
    ],
)
def test_a_server_is_judged_by_the_version_and_mode_that_it_tells(
    info: str, severity: str | None, told: str, tmp_path: Path
) -> None:
    with pretending(tmp_path / "s", f"{info}aof_enabled:1\r\n") as client:
        findings = [(finding.severity, finding.what) for finding in examine(client)]
    assert [of for of, _ in findings] == ([severity] if severity else [])
    assert all(told in what for _, what in findings)


def test_a_managed_server_without_config_and_aof_is_warned_of(tmp_path: Path) -> None:
    with pretending(tmp_path / "s", "redis_version:7.2.0\r\naof_enabled:0\r\n") as client:
        assert ["tells nothing of snapshots" in finding.what for finding in examine(client)] == [True]
