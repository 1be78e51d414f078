"""The roles of a server may do what they do and no more; `test_conformance_*` shows that it is enough."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from callboard.actors.mailbox.mailbox import Mailbox
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.roles import BY_ITSELF, COMMANDS, READS, SCRIPTS, WAITS, Role, named_in
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.messages.errors import MailboxRefused
from tests.actors.mailbox.conformance import (
    LONG,
    QUEUE,
    check_conservation,
    posting,
    queue_of,
    settlement,
    target,
)
from tests.actors.mailbox.roles import DEPLOY, PASSWORDS, SUPER, refused_on, role_server, url_as
from tests.actors.rehearsal import until
from tests.servers import Kind, Server

WORKSPACE = "default"

ACL = (DEPLOY / "users.acl").read_text("utf-8").splitlines()[1]
"""The line of the worker; what concerns connections is the same in all."""

ONLY_IF_PERMITTED = {"HDEL", "INCR", "ZREM"}
"""What the script `routes` does for those who may."""

BY_ITS_CLIENT: dict[Role, set[str]] = {
    "worker": {WAITS},
    "publisher": set(),
    "reader": set(),
    "operator": set(),
}


@pytest.fixture(params=["valkey", "redis"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each server with the committed files, where the roles are confined to one workspace."""
    kind: Kind = request.param
    with role_server(kind, tmp_path_factory.mktemp(kind), workspace=WORKSPACE) as server:
        yield server


@pytest.fixture
def as_role(server: Server) -> Iterator[Callable[..., RedisMailbox]]:
    """Opens the workspace, emptied, as one of the roles."""
    opened: list[RedisMailbox] = []

    def open_as(role: str, workspace: str = WORKSPACE) -> RedisMailbox:
        opened.append(RedisMailbox(url_as(role, server.url), workspace))
        return opened[-1]

    with redis.Redis.from_url(url_as(SUPER, server.url)) as client:
        client.flushall()
        client.acl_log_reset()
    yield open_as
    for mailbox in opened:
        mailbox.close()


def client_as(role: str, server: Server) -> "redis.Redis":
    return redis.Redis.from_url(url_as(role, server.url))


def named_by(role: Role) -> set[str]:
    """Every command that a script of a role names."""
    return {name for script in SCRIPTS[role] for name in named_in(script)}


@pytest.mark.parametrize("role", SCRIPTS)
def test_no_role_is_granted_what_none_of_its_scripts_names(role: Role) -> None:
    assert COMMANDS[role] - BY_ITSELF - BY_ITS_CLIENT[role] <= named_by(role)


def test_those_who_publish_are_granted_all_that_publishing_names() -> None:
    assert named_by("publisher") - COMMANDS["publisher"] == ONLY_IF_PERMITTED


def test_whoever_works_or_mends_is_granted_all_that_its_scripts_name() -> None:
    for role in ("worker", "operator"):
        assert named_by(role) <= COMMANDS[role], role


def test_what_is_read_with_writes_nothing(server: Server) -> None:
    with client_as(SUPER, server) as client:
        writing = {name.upper() for name in client.acl_cat("write")}
    assert not READS & writing
    assert COMMANDS["reader"] == READS | BY_ITSELF


def test_the_committed_users_are_the_roles_with_their_commands() -> None:
    text = (DEPLOY / "users.acl").read_text("utf-8")
    rules = {re.search(r"\+@connection.*?(?= \+[a-z])", line)[0] for line in text.splitlines()[1:]}  # type: ignore[index]
    assert len(rules) == 1
    for role, commands in COMMANDS.items():
        line = next(line for line in text.splitlines() if line.startswith(f"user {role} "))
        assert {word[1:].upper() for word in line.split() if re.fullmatch(r"\+[a-z]+", word)} == commands


FORBIDDEN: list[tuple[str, ...]] = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "localhost", "1"),
    ("MONITOR",),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "FLUSH"),
    ("BGREWRITEAOF",),
    ("PUBLISH", "callboard:{default}:news", "x"),
    ("CLIENT", "TRACKING", "ON", "BCAST"),
    ("CLIENT", "REPLY", "OFF"),
    ("COMMAND", "COUNT"),
    ("WAIT", "0", "1"),
    ("READONLY",),
    ("EXISTS", "callboard:{other}:ready:orders"),
    ("EXISTS", "another"),
]


@pytest.mark.parametrize("role", SCRIPTS)
@pytest.mark.parametrize("command", FORBIDDEN, ids=lambda command: " ".join(command[:2]))
def test_no_role_may_run_the_server_or_touch_what_is_not_the_workspace_s(
    server: Server, role: Role, command: tuple[str, ...]
) -> None:
    with client_as(role, server) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


CONNECTING = {
    *("auth", "hello", "ping", "echo", "quit", "reset", "select"),
    *("client|getname", "client|help", "client|id", "client|info", "client|setname"),
}
"""What a client says of itself and asks, on every server."""

OF_LATER_SERVERS = {"client|setinfo", "client|no-touch", "client|capa", "client|import-source", "waitaof"}
"""What Redis 7.0 does not know, and would not start for if its ACL file named it."""


def test_of_a_connection_s_commands_no_role_has_more_than_what_a_client_says_of_itself(
    server: Server,
) -> None:
    with client_as(SUPER, server) as client:
        known = {str(name) for name in client.acl_cat("connection")}
        refused = {*client.acl_cat("admin"), *client.acl_cat("dangerous")}
    refused |= {name for name in known if {f"-{name}", f"-{name.partition('|')[0]}"} & set(ACL.split())}
    assert CONNECTING <= known - refused <= CONNECTING | OF_LATER_SERVERS


def test_a_client_that_may_track_keys_is_told_the_names_of_other_workspaces(server: Server) -> None:
    """Why no role may: the rule for keys does not hold there."""
    rules = ("~callboard:{default}:*", "+@connection", "-@admin", "-@dangerous")
    with client_as(SUPER, server) as client, socket.socket(socket.AF_UNIX) as line:
        client.execute_command("ACL", "SETUSER", "tracker", "reset", "on", ">secret", *rules)
        line.settimeout(10)
        line.connect(server.url.removeprefix("unix://"))
        line.sendall(b"HELLO 3 AUTH tracker secret\r\nCLIENT TRACKING ON BCAST\r\n")
        told = b""
        while not told.endswith(b"+OK\r\n"):
            told += line.recv(4096)
        client.set("callboard:{other}:bodies", "x")
        assert b"callboard:{other}:bodies" in line.recv(4096)
        client.execute_command("ACL", "DELUSER", "tracker")


def test_a_script_may_no_more_than_its_user(server: Server) -> None:
    with (
        client_as("worker", server) as client,
        pytest.raises(ResponseError, match=r"ACL failure|user executing the script"),
    ):
        client.eval("return redis.call('FLUSHALL')", 0)
    assert any(each["context"] in ("lua", "script") for each in refused_on(server.url))


def test_nobody_gets_in_without_a_password_or_with_another_role_s(server: Server) -> None:
    with redis.Redis.from_url(server.url) as client, pytest.raises(AuthenticationError):
        client.ping()
    wrong = url_as("reader", server.url).replace(PASSWORDS["reader"], PASSWORDS["worker"])
    with closing(RedisMailbox(wrong, WORKSPACE)) as mailbox:
        with pytest.raises(MailboxRefused, match="check its name and password") as caught:
            mailbox.info()
        assert PASSWORDS["worker"] not in str(caught.value)


Open = Callable[..., RedisMailbox]


def busy(as_role: Open) -> RedisMailbox:
    """A worker's mailbox with something in each place."""
    worker = as_role("worker")
    worker.register([Subscription("receipt", QUEUE, {"order.placed": 1000})])
    worker.publish([posting(target(key)) for key in ("held", "ready", "again")])
    worker.publish([posting(target("later"), delay_ms=LONG), posting(target("due"), delay_ms=1)])
    held = worker.fetch(QUEUE, 1, owner="w", lease_ms=LONG)
    assert len(held.deliveries) == 1
    return worker


ACTS: dict[str, Callable[[Mailbox], Any]] = {
    "publish": lambda it: it.publish([posting(target("new"))]),
    "fetch": lambda it: it.fetch(QUEUE, 9, owner="x", lease_ms=LONG),
    "register": lambda it: it.register([Subscription("other", "others", {"order.placed": 1000})]),
    "heartbeat": lambda it: it.heartbeat("x", [QUEUE]),
    "tell": lambda it: it.running.tell("x", []),
    "purge": lambda it: it.purge(QUEUE),
    "pause": lambda it: it.controls.pause(QUEUE),
    "cancel": lambda it: it.schedule.cancel("receipt:later"),
    "wait": lambda it: it.wait(QUEUE, 1),
}

REFUSED: dict[Role, tuple[str, ...]] = {
    "reader": tuple(ACTS),
    "publisher": tuple(act for act in ACTS if act not in ("publish", "pause", "heartbeat")),
    "operator": ("wait", "heartbeat"),
    "worker": (),
}


@pytest.mark.parametrize(("role", "act"), [(role, act) for role, acts in REFUSED.items() for act in acts])
def test_what_is_not_a_role_s_is_refused_with_the_mend_and_loses_nothing(
    as_role: Open, role: Role, act: str
) -> None:
    worker = busy(as_role)
    with pytest.raises(MailboxRefused, match="connect as a user with the role for it"):
        ACTS[act](as_role(role))
    check_conservation(worker.info())
    assert queue_of(worker.info(), QUEUE).ended == 0
    rest = worker.fetch(QUEUE, 9, owner="w", lease_ms=LONG).deliveries
    assert sorted(each.key for each in rest if each.key != "due") == ["again", "ready"]


def test_a_publisher_cannot_settle_what_a_worker_holds(as_role: Open) -> None:
    worker = as_role("worker")
    worker.publish([posting()])
    (held,) = worker.fetch(QUEUE, 1, owner="w", lease_ms=LONG).deliveries
    for role in ("publisher", "reader"):
        with pytest.raises(MailboxRefused, match="role for it"):
            as_role(role).settle([settlement(held)])
    check_conservation(worker.info())
    assert worker.settle([settlement(held)]) == [True]


@pytest.mark.parametrize("command", ["rpush", "zrem"])
def test_what_is_due_stays_where_it_is_for_a_user_who_may_only_half_of_moving_it(
    as_role: Open, server: Server, command: str
) -> None:
    worker = as_role("worker")
    worker.publish([posting(delay_ms=1)])
    until(lambda: is_due(server), "it to be due")
    with client_as(SUPER, server) as client:
        client.execute_command("ACL", "SETUSER", "worker", f"-{command}")
        try:
            with pytest.raises(MailboxRefused, match="role for it"):
                worker.fetch(QUEUE, 1, owner="w", lease_ms=LONG)
        finally:
            client.execute_command("ACL", "SETUSER", "worker", f"+{command}")
    queue = queue_of(worker.info(), QUEUE)
    assert (queue.ready, queue.scheduled) == (0, 1)
    assert len(worker.fetch(QUEUE, 1, owner="w", lease_ms=LONG).deliveries) == 1


def is_due(server: Server) -> bool:
    """Whether what is scheduled is due by the server's clock."""
    with client_as(SUPER, server) as client:
        seconds, micros = client.time()
        now = seconds * 1000 + micros // 1000
        return bool(client.zcount(f"callboard:{{{WORKSPACE}}}:scheduled:{QUEUE}", "-inf", now))


def test_a_workspace_is_closed_to_the_roles_of_another(as_role: Open) -> None:
    for role in SCRIPTS:
        with pytest.raises(MailboxRefused, match="role for it"):
            as_role(role, "other").routes()


def test_those_who_may_not_forget_a_subscription_leave_it_out(as_role: Open, server: Server) -> None:
    worker = busy(as_role)
    with client_as(SUPER, server) as client:
        client.zadd("callboard:{default}:routes:confirmed", {"receipt": 1})
    for role in ("reader", "publisher"):
        assert as_role(role).routes().subscriptions == ()
    assert worker.routes().subscriptions == ()
    assert refused_on(server.url) == []
