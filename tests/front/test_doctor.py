"""`callboard doctor` tells what is wrong with a real server, and comes to what a worker would."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from callboard.actors.mailbox.findings import KINDS
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.suitability import examine
from callboard.cli.exits import ExitCode
from tests.actors.mailbox.roles import role_server, url_as
from tests.front.conftest import InProcess
from tests.servers import Kind, start_server

DOCUMENT = Path(__file__).parents[2] / "docs" / "server.md"


@contextmanager
def server_with(directory: Path, *options: str) -> Iterator[str]:
    server = start_server("valkey", directory, *options)
    try:
        yield server.url
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ((), ExitCode.OK, "nothing to mend"),
        (("--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru"), ExitCode.FAILED, "stops: "),
        (("--replicaof", "localhost 1"), ExitCode.FAILED, "connect to its primary"),
        (("--appendonly", "no"), ExitCode.FAILED, "stops: the server keeps nothing on disk"),
        (("--appendonly", "no", "--save", "60 1"), ExitCode.OK, "warns: the server only takes snapshots"),
        (("--maxmemory", "1mb"), ExitCode.OK, "raise its maxmemory"),
        (("--requirepass", "right"), ExitCode.UNREACHABLE, ""),
    ],
)
def test_each_fault_is_told_with_its_mend(
    command: InProcess, tmp_path: Path, options: tuple[str, ...], code: ExitCode, told: str
) -> None:
    with server_with(tmp_path, *options) as url:
        answer = command("doctor", "--url", url)
        assert (answer.code, told in answer.out) == (code, True), answer.out + answer.err
        if code is not ExitCode.UNREACHABLE:
            findings = json.loads(command("doctor", "--url", url, "--json").out)
            assert findings["ok"] is (code is ExitCode.OK)
            assert bool(findings["findings"]) is bool(options)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_an_administrator_is_told_of_a_default_user_whose_rights_a_restart_may_ask_for(
    command: InProcess, tmp_path: Path, kind: Kind
) -> None:
    server = start_server(kind, tmp_path, "--user", "admin", "on", "nopass", "~*", "+@all")
    as_admin = server.url.replace("unix://", "unix://admin:any@")
    with closing(redis.Redis.from_url(as_admin)) as client:
        assert "nothing to mend" in command("doctor", "--url", as_admin).out
        client.acl_setuser("default", enabled=False, categories=["-@all"])
        found = json.loads(command("doctor", "--url", as_admin, "--json").out)["findings"]
        assert [each["kind"] for each in found] == ["default-refused"]
        client.execute_command(
            "ACL", "SETUSER", "default", *found[0]["mend"].rpartition("default ")[2].split()
        )
        assert "nothing to mend" in command("doctor", "--url", as_admin).out
    server.kill()


@pytest.mark.parametrize("role", ["worker", "publisher", "reader", "operator"])
def test_every_role_may_look_at_the_committed_configuration(
    command: InProcess, tmp_path: Path, role: str
) -> None:
    with role_server("valkey", tmp_path) as server:
        answer = command("doctor", "--url", url_as(role, server.url), "--role", role)
    assert (answer.code, "nothing to mend" in answer.out) == (ExitCode.OK, True), answer.out + answer.err
    assert "note: how often the append-only file reaches the disk" in answer.out


@pytest.mark.parametrize(
    ("user", "role", "lacking"),
    [
        ("publisher", "worker", "BLPOP, DEL, HDEL"),
        ("reader", "publisher", "HINCRBY, HSET"),
        ("operator", "worker", "BLPOP, LTRIM"),
        ("reader", "operator", "DEL, HDEL"),
    ],
)
def test_a_url_of_another_role_is_told_with_what_it_lacks(
    command: InProcess, tmp_path: Path, user: str, role: str, lacking: str
) -> None:
    with role_server("valkey", tmp_path) as server:
        asked = ("doctor", "--url", url_as(user, server.url), "--role")
        answer, told = command(*asked, role), json.loads(command(*asked, role, "--json").out)
        assert command(*asked, "writer").code is ExitCode.USAGE
    assert answer.code is ExitCode.FAILED
    assert f"stops: the user '{user}' may not do what the role {role}" in answer.out
    assert lacking in answer.out
    assert (told["ok"], "not-permitted" in [each["kind"] for each in told["findings"]]) == (False, True)


def test_the_document_has_every_finding_as_it_is() -> None:
    text = DOCUMENT.read_text("utf-8").partition("## Looking at it")[2]
    rows = re.findall(r"^\| `(.+)` \| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
    assert {name: (severity, loses, mend) for name, severity, loses, mend in rows} == {
        name: (kind.severity, kind.loses, kind.mend) for name, kind in KINDS.items()
    }


def test_workers_of_several_versions_are_told(command: InProcess, tmp_path: Path) -> None:
    with server_with(tmp_path) as url, closing(RedisMailbox(url)) as mailbox:
        for owner in ("host:1:a", "host:2:b"):
            mailbox.heartbeat(owner, version="0.2.0")
        assert "nothing to mend" in command("doctor", "--url", url).out
        mailbox.heartbeat("host:3:c", version="0.1.0")
        answer = command("doctor", "--url", url)
        assert "0.1.0" in command("info", "--url", url).out
    assert (answer.code, "0.1.0 (1), 0.2.0 (2)" in answer.out) == (ExitCode.OK, True), answer.out
    assert "restart the workers of the older version" in answer.out


def test_what_a_lost_worker_ran_is_forgotten_with_it(tmp_path: Path) -> None:
    with server_with(tmp_path) as url, closing(RedisMailbox(url)) as mailbox:
        for owner in ("host:1:a", "host:2:b"):
            mailbox.heartbeat(owner, version="0.1.0")
        # As a worker does that tells no version, when another has not been heard of for a minute.
        mailbox.client.zrem("callboard:{default}:workers", "host:1:a")
        mailbox.heartbeat("host:2:b", version="0.1.0")
        assert mailbox.client.hkeys("callboard:{default}:workers:releases") == [b"host:2:b"]


@pytest.mark.parametrize(("ahead", "found"), [(0.0, 0), (-60.0, 1), (60.0, 1)])
def test_clocks_that_differ_are_told(tmp_path: Path, ahead: float, found: int) -> None:
    with server_with(tmp_path) as url, redis.Redis.from_url(url) as client:
        seconds, micros = client.time()
        findings = examine(client, clock=lambda: seconds + micros / 1e6 + ahead)
    assert [("60 s" in each.what, each.mend) for each in findings] == [
        (True, "let both be set by NTP")
    ] * found
