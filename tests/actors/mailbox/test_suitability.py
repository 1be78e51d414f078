"""A server that would lose deliveries is refused or warned of, with the mend."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from callboard.actors.mailbox.findings import Finding
from callboard.actors.mailbox.mailbox import Verdict
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.suitability import ensure_suitable, examine
from callboard.messages.errors import MailboxRefused, MailboxUnavailable, UnsuitableServer
from tests.actors.mailbox.conformance import posting
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

    def info(self, event: str, **fields: Any) -> None:
        self.written.append({"level": "info", "event": event, **fields})

    def warning(self, event: str, **fields: Any) -> None:
        self.written.append({"level": "warning", "event": event, **fields})

    def error(self, event: str, **fields: Any) -> None:
        self.written.append({"level": "error", "event": event, **fields})


def severities_of(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.mend) for finding in findings]


def but_notes(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "note"]


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
        assert severities_of(examine(client)) == [("warns", "set maxmemory-policy to noeviction")]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
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
    assert (log.written[0]["level"], log.written[0]["event"]) == ("warning", "server_not_ideal")
    assert told in log.written[0]["what"]
    assert "everysec" in log.written[0]["mend"]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_node_of_a_cluster_is_noted_and_works_where_it_has_the_slot(kind: Kind, tmp_path: Path) -> None:
    server = start_server(kind, tmp_path, "--cluster-enabled", "yes")
    try:
        with closing(RedisMailbox(server.url)) as mailbox:
            assert [(each.kind, each.severity) for each in examine(mailbox.client)] == [("cluster", "note")]
            with pytest.raises(MailboxRefused):
                mailbox.publish([posting()])
            mailbox.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_for_cluster(mailbox.client)
            assert mailbox.publish([posting()]) == [[Verdict.ACCEPTED]]
    finally:
        server.kill()


def wait_for_cluster(client: "redis.Redis") -> None:
    deadline = time.monotonic() + 20
    while "ok" not in str(client.execute_command("CLUSTER", "INFO")).partition("cluster_slots")[0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_replica_is_refused_and_its_primary_named(tmp_path: Path) -> None:
    with (
        client_of("valkey", tmp_path, "--replicaof", "localhost 1") as client,
        pytest.raises(UnsuitableServer, match="connect to its primary, localhost:1"),
    ):
        ensure_suitable(client, Lines())


LOSING = [
    (("--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru"), "evicts"),
    (("--appendonly", "no"), "nothing-kept"),
    (("--replicaof", "localhost 1"), "replica"),
]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize(("options", "found"), LOSING)
def test_what_would_lose_events_stops_a_start_unless_it_is_forced(
    kind: Kind, options: tuple[str, ...], found: str, tmp_path: Path
) -> None:
    log = Lines()
    with client_of(kind, tmp_path, *options) as client:
        with pytest.raises(UnsuitableServer, match="callboard run --force, or CALLBOARD_FORCE=true"):
            ensure_suitable(client, log)
        assert log.written == []
        ensure_suitable(client, log, is_forced=True)
    assert [(line["level"], line["kind"]) for line in log.written] == [("error", found)]
    assert {"what", "loses", "mend"} < log.written[0].keys()


def test_all_that_stops_a_start_is_told_at_once_and_warnings_are_logged_all_the_same(tmp_path: Path) -> None:
    options = ("--replicaof", "localhost 1", "--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru")
    log = Lines()
    with (
        client_of("valkey", tmp_path, *options, "--appendonly", "no", "--save", "60 1") as client,
        pytest.raises(UnsuitableServer) as caught,
    ):
        ensure_suitable(client, log)
    assert ["may be lost" in line for line in str(caught.value).splitlines()] == [True, True, False]
    assert [line["kind"] for line in log.written] == ["snapshots-only"]


@contextmanager
def limited_client_of(directory: Path, *commands: str) -> Iterator["redis.Redis"]:
    """A client that has not the right to some commands."""
    with client_of("valkey", directory) as client:
        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+acl", *commands])
        yield client


@pytest.mark.parametrize(
    ("denied", "command", "told"),
    [
        ("-config", "CONFIG GET", "how often the append-only file reaches the disk"),
        ("-info", "INFO", "what server it is and what it keeps"),
        ("-time", "TIME", "the server's clock"),
    ],
)
def test_what_is_not_permitted_to_look_at_is_noted_as_not_known(
    tmp_path: Path, denied: str, command: str, told: str
) -> None:
    log = Lines()
    with limited_client_of(tmp_path, denied) as client:
        findings = examine(client)
        ensure_suitable(client, log)
    assert [(each.kind, each.severity, told in each.what) for each in findings] == [
        ("not-known", "note", True)
    ]
    assert findings[0].mend == f"look as a user who may run {command}"
    assert [(line["level"], line["what"]) for line in log.written] == [("info", findings[0].what)]


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
        ("redis_version:6.2.14\r\n", "stops", "Redis 6.2.14, which is too old"),
        ("redis_version:7.0.0\r\n", None, ""),
        ("redis_version:10.1.0\r\n", None, ""),
        ("redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n", None, ""),
        ("redis_version:unstable\r\n", "warns", "cannot be read"),
        ("", "warns", "cannot be read"),
        ("redis_version:7.2.0\r\nredis_mode:sentinel\r\n", "stops", "Sentinel"),
    ],
)
def test_a_server_is_judged_by_the_version_and_mode_that_it_tells(
    info: str, severity: str | None, told: str, tmp_path: Path
) -> None:
    with pretending(tmp_path / "s", f"{info}aof_enabled:1\r\n") as client:
        findings = [(finding.severity, finding.what) for finding in but_notes(examine(client))]
    assert [of for of, _ in findings] == ([severity] if severity else [])
    assert all(told in what for _, what in findings)


def test_a_managed_server_without_config_and_aof_is_warned_of(tmp_path: Path) -> None:
    with pretending(tmp_path / "s", "redis_version:7.2.0\r\naof_enabled:0\r\n") as client:
        assert [finding.kind for finding in but_notes(examine(client))] == ["snapshots-not-known"]


def test_what_a_managed_server_leaves_out_is_noted_as_not_known(tmp_path: Path) -> None:
    with pretending(tmp_path / "s", "redis_version:7.2.0\r\n") as client:
        findings = examine(client)
    assert {finding.severity for finding in findings} == {"note"}
    for told in ("what the server does when it is full", "what the server keeps on disk", "clock"):
        assert any(told in finding.what for finding in findings), told
