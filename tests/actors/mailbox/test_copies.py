"""A copy of a server's data, made and brought back by the commands of the page, has all that it had then."""

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.mailbox.conformance import posting, target
from tests.actors.mailbox.roles import DEPLOY, role_server, url_as
from tests.documents import blocks_under, read
from tests.servers import Kind, start_server

PLACE = "--directory data"
"""Where the page takes the data to be."""


def commands() -> list[str]:
    """What the page tells: how a copy is made, and how it is brought back."""
    made, brought_back = (block.text for block in blocks_under(read("docs/server.md"), "A copy of it", "sh"))
    return [made, brought_back]


def follow(command: str, directory: Path, place: Path) -> None:
    assert PLACE in command
    subprocess.run(
        ["sh", "-eu", "-c", command.replace(PLACE, f"--directory {place}")], cwd=directory, check=True
    )


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_copy_that_is_brought_back_has_what_was_there_when_it_was_made(kind: Kind, tmp_path: Path) -> None:
    make, bring_back = commands()
    with role_server(kind, tmp_path) as server:
        with closing(RedisMailbox(url_as("worker", server.url), "default")) as mailbox:
            for number in range(100):
                mailbox.publish([posting(target(str(number)))])
        server.stop()
        follow(make, tmp_path, tmp_path)
        server.restart()
        with closing(RedisMailbox(url_as("worker", server.url), "default")) as mailbox:
            mailbox.publish([posting(target("later"))])
            assert mailbox.info().queues[0].ready == 101
    (tmp_path / "empty").mkdir()
    follow(bring_back, tmp_path, tmp_path / "empty")
    users = ("--aclfile", str(tmp_path / "users.acl"))
    another = start_server(kind, tmp_path / "empty", *users, config=DEPLOY / "valkey.conf")
    try:
        with closing(RedisMailbox(url_as("worker", another.url), "default")) as mailbox:
            assert mailbox.info().queues[0].ready == 100
    finally:
        another.stop()
