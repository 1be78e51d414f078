"""A mailbox whose every script is run by a role that runs it, on a server set up as committed."""

import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import redis

from callboard.actors.mailbox.connections import Argument, Connections
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.roles import SCRIPTS, Role
from callboard.actors.mailbox.scripts import Script
from tests.servers import Kind, Server, start_server

DEPLOY = Path(__file__).parents[3] / "deploy" / "redis"

PASSWORDS: dict[str, str] = {role: f"{role}-of-a-test" for role in SCRIPTS}

SUPER = "admin"
"""A user of the tests' own, who plants and looks at what no role may."""

ASKED_IN_VAIN = {"config|get", "acl|dryrun"}
"""How often the file reaches the disk, and what the default user may: what asks does without the answer."""

_sharing: dict[str, Iterator[Role]] = {}


def acl_text(workspace: str = "*") -> str:
    """The committed ACL file with passwords, for all the workspaces that tests make."""
    made = runpy.run_path(str(DEPLOY / "users.py"))["users"]
    text: str = made((DEPLOY / "users.acl").read_text("utf-8"), PASSWORDS, workspace)
    return f"{text}user {SUPER} on >{SUPER} ~* &* +@all\n"


@contextmanager
def role_server(kind: Kind, directory: Path, *options: str, workspace: str = "*") -> Iterator[Server]:
    """A server that runs with the committed files; only where it listens and keeps its data is ours."""
    (directory / "users.acl").write_text(acl_text(workspace))
    ours = ("--aclfile", str(directory / "users.acl"), *options)
    server = start_server(kind, directory, *ours, config=DEPLOY / "valkey.conf")
    try:
        yield server
    finally:
        server.stop()


def url_as(role: str, url: str) -> str:
    """The URL by which a role connects."""
    password = SUPER if role == SUPER else PASSWORDS[role]
    return url.replace("unix://", f"unix://{role}:{password}@")


def refused_on(url: str) -> list[dict[str, Any]]:
    """What the server has refused to anybody."""
    with redis.Redis.from_url(url_as(SUPER, url), decode_responses=True) as client:
        told: list[dict[str, Any]] = client.acl_log()
        return told


class RolesMailbox(RedisMailbox):
    """Runs each script as those roles that run it, by turns; waits as a worker."""

    def __init__(self, url: str, workspace: str) -> None:
        super().__init__(url_as("worker", url), workspace)
        self._clients = {role: redis.Redis.from_url(url_as(role, url), protocol=2) for role in SCRIPTS}
        self._by_role = {role: Connections(client.connection_pool) for role, client in self._clients.items()}

    def _run(self, script: str, arguments: list[Argument]) -> Any:
        self._check_open()
        return Script(script).run(self._by_role[_whose_turn(script)], self._root, arguments)

    def close(self) -> None:
        super().close()
        for connections in self._by_role.values():
            connections.close()
        for client in self._clients.values():
            client.close()


def _whose_turn(script: str) -> Role:
    if script not in _sharing:
        _sharing[script] = cycle([role for role, scripts in SCRIPTS.items() if script in scripts])
    return next(_sharing[script])
