"""The passwords of the roles: made for each, given anew while workers run, and in no file but their own."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.roles import SCRIPTS
from callboard.messages.errors import MailboxRefused
from tests.actors.mailbox.conformance import posting
from tests.actors.mailbox.roles import DEPLOY, SUPER, url_as
from tests.documents import blocks_under, read
from tests.servers import Kind, Server, start_server


def make_users(directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(DEPLOY / "users.py"), str(directory), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_passwords_are_made_for_each_role_and_are_in_no_file_but_their_own(tmp_path: Path) -> None:
    assert make_users(tmp_path / "made", "--workspace", "production").returncode == 0
    files = {path.name: path for path in (tmp_path / "made").iterdir()}
    assert set(files) == {"users.acl", *(f"{role}.password" for role in SCRIPTS)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    acl = files["users.acl"].read_text()
    assert "callboard:{production}:" in acl
    assert "{default}" not in acl
    words = {files[f"{role}.password"].read_text().strip() for role in SCRIPTS}
    assert len(words) == len(SCRIPTS)
    assert not any(word in acl for word in words)


def test_passwords_that_are_there_are_not_made_anew(tmp_path: Path) -> None:
    assert make_users(tmp_path).returncode == 0
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    again = make_users(tmp_path)
    assert again.returncode == 1
    assert "move it away" in again.stderr
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before


def test_with_the_committed_file_alone_nobody_gets_in(tmp_path: Path) -> None:
    for line in (DEPLOY / "users.acl").read_text("utf-8").splitlines():
        assert " resetpass " in line
        assert not re.search(r" [#>]|nopass", line)


# A new one.


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Each server with the committed configuration, and users made for it, an admin among them."""
    kind: Kind = request.param
    assert make_users(tmp_path / "users").returncode == 0
    acl = tmp_path / "users/users.acl"
    acl.write_text(f"{acl.read_text()}user {SUPER} on >{SUPER} ~* &* +@all\n")
    server = start_server(kind, tmp_path / kind, "--aclfile", str(acl), config=DEPLOY / "valkey.conf")
    yield server
    server.stop()


def read_by_command(server: Server) -> None:
    with redis.Redis.from_url(url_as(SUPER, server.url)) as admin:
        admin.acl_load()


def read_at_its_start(server: Server) -> None:
    server.restart()


def steps() -> list[list[str]]:
    """What the page tells to do, after `python deploy/redis/users.py`."""
    lines = [
        line.split()
        for block in blocks_under(read("docs/server.md"), "A new password", "sh")
        for line in block.text.splitlines()
    ]
    assert [line[:3] for line in lines] == [["python", "deploy/redis/users.py", "users"]] * 2
    return [line[3:] for line in lines]


@pytest.mark.parametrize("let_read", [read_by_command, read_at_its_start])
def test_a_password_is_given_anew_while_workers_go_on(
    server: Server, tmp_path: Path, let_read: Callable[[Server], None]
) -> None:
    renew, retire = steps()
    file = tmp_path / "users/worker.password"

    def url() -> str:
        return server.url.replace("unix://", f"unix://worker:{file.read_text().strip()}@")

    def published_as(url: str) -> None:
        with closing(RedisMailbox(url, "default")) as mailbox:
            mailbox.publish([posting()])

    old = url()
    with closing(RedisMailbox(old, "default")) as running:
        running.publish([posting()])
        assert make_users(tmp_path / "users", *renew).returncode == 0
        assert url() != old
        published_as(old)
        let_read(server)
        running.publish([posting()])
    published_as(old)
    published_as(url())
    assert make_users(tmp_path / "users", *retire).returncode == 0
    let_read(server)
    published_as(url())
    with pytest.raises(MailboxRefused, match="does not let this user in"):
        published_as(old)


def test_a_password_given_anew_twice_leaves_the_one_that_was_last(tmp_path: Path) -> None:
    assert make_users(tmp_path).returncode == 0
    (tmp_path / "users.acl").chmod(0o644)
    others = (tmp_path / "users.acl").read_text().splitlines()[2:]
    for _ in range(2):
        assert make_users(tmp_path, "--renew", "worker").returncode == 0
    acl = (tmp_path / "users.acl").read_text().splitlines()
    assert acl[1].startswith("user worker on resetpass #")
    assert acl[1].count(" #") == 2
    assert acl[2:] == others
    assert stat.S_IMODE((tmp_path / "users.acl").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "worker.password").stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.new"))


def test_a_file_that_the_server_wrote_itself_is_given_a_new_password_as_well(
    server: Server, tmp_path: Path
) -> None:
    def asked(*words: str) -> Any:
        with redis.Redis.from_url(url_as(SUPER, server.url)) as admin:
            return admin.execute_command(*words)

    def others() -> set[str]:
        return {str(line) for line in asked("ACL LIST") if "user worker" not in str(line)}

    asked("ACL SAVE")
    assert "user worker on resetpass" not in (tmp_path / "users/users.acl").read_text()
    before = others()
    for change, count in (("--renew", 2), ("--retire", 1)):
        assert make_users(tmp_path / "users", change, "worker").returncode == 0
        read_by_command(server)
        assert len(asked("ACL GETUSER", "worker")["passwords"]) == count
        password = (tmp_path / "users/worker.password").read_text().strip()
        url = server.url.replace("unix://", f"unix://worker:{password}@")
        with closing(RedisMailbox(url, "default")) as mailbox:
            mailbox.publish([posting()])
    assert others() == before


@pytest.mark.parametrize("change", ["--renew", "--retire"])
def test_whose_a_file_is_stays_and_one_without_the_role_is_left_alone(tmp_path: Path, change: str) -> None:
    assert make_users(tmp_path).returncode == 0
    acl = tmp_path / "users.acl"
    # Only root may give a file away; anybody else's is his own.
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(acl, owner, os.getegid())
    assert make_users(tmp_path, change, "worker").returncode == 0
    assert acl.stat().st_uid == owner
    acl.write_text(acl.read_text().replace("user worker", "user hand"))
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    done = make_users(tmp_path, change, "worker")
    assert (done.returncode, "has no user worker: nothing is changed" in done.stderr) == (1, True)
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("change", ["--renew", "--retire"])
def test_no_password_is_given_anew_where_there_is_none(tmp_path: Path, change: str) -> None:
    done = make_users(tmp_path, change, "worker")
    assert done.returncode == 1
    assert "worker.password is not there: make it first" in done.stderr
    assert make_users(tmp_path, change, "waiter").returncode == 2
    assert not list(tmp_path.iterdir())
