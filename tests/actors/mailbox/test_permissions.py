"""What a server does not permit to its user is found before the work begins, and asking changes nothing."""

from collections.abc import Iterator
from contextlib import closing

import dramatiq
import pytest
import redis
from structlog.testing import capture_logs

from callboard import Callboard
from callboard.actors.mailbox.findings import Finding
from callboard.actors.mailbox.opening import ensure_worker_permitted, tell_publisher
from callboard.actors.mailbox.permissions import examine_permissions
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.roles import COMMANDS, SCRIPTS, Role
from callboard.actors.mailbox.scripts import Script
from callboard.actors.settings import load_settings
from callboard.messages.errors import MailboxRefused, MailboxUnavailable, UnsuitableServer
from tests.actors.mailbox.roles import PASSWORDS, SUPER, refused_on, role_server, url_as
from tests.servers import Kind, Server

WORKSPACE = "default"

SOMEBODY = ("resetkeys", "~callboard:{default}:*", "-@all", "+@connection")


@pytest.fixture(params=["valkey", "redis"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each server with the committed files, where the roles are confined to one workspace."""
    kind: Kind = request.param
    with role_server(kind, tmp_path_factory.mktemp(kind), workspace=WORKSPACE) as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_refused_or_written(server: Server) -> Iterator[None]:
    """Asking leaves no key, and no refusal where scripts are permitted."""
    yield
    with redis.Redis.from_url(url_as(SUPER, server.url)) as client:
        assert client.dbsize() == 0


def found_as(role: str, server: Server, *, of: Role, workspace: str = WORKSPACE) -> list[Finding]:
    with redis.Redis.from_url(url_as(role, server.url)) as client:
        return examine_permissions(client, workspace, of)


def grant(server: Server, *rules: str) -> str:
    """A user that has these rules; its URL."""
    with redis.Redis.from_url(url_as(SUPER, server.url)) as client:
        client.execute_command("ACL", "SETUSER", "somebody", "reset", "on", ">secret", *rules)
    return server.url.replace("unix://", "unix://somebody:secret@")


def found_of(url: str, role: Role = "worker") -> list[Finding]:
    with redis.Redis.from_url(url) as client:
        return examine_permissions(client, WORKSPACE, role)


def granting(role: Role, *but: str) -> list[str]:
    """The rules of a role without some commands."""
    return [*SOMEBODY, *(f"+{command.lower()}" for command in sorted(COMMANDS[role] - set(but)))]


def mended_by(found: list[Finding], server: Server, rules: list[str], role: Role = "worker") -> None:
    """What a finding says, put at the end of the user's line, is enough."""
    (pieces,) = [each.mend.partition("ACL file: ")[2].partition(";")[0] for each in found]
    assert found_of(grant(server, *rules, *pieces.split()), role) == []


@pytest.mark.parametrize("role", SCRIPTS)
def test_each_role_has_all_that_it_needs_and_asking_is_refused_nothing(server: Server, role: Role) -> None:
    with redis.Redis.from_url(url_as(SUPER, server.url)) as client:
        client.acl_log_reset()
    assert found_as(role, server, of=role) == []
    found_as("reader", server, of=role)
    assert refused_on(server.url) == []


@pytest.mark.parametrize("role", SCRIPTS)
def test_each_command_that_is_missing_is_told_with_the_piece_that_mends_it(
    server: Server, role: Role
) -> None:
    for command in sorted(COMMANDS[role] - {"EVAL", "EVALSHA"}):
        found = found_of(grant(server, *granting(role, command)), role)
        if (role, command) == ("publisher", "INFO"):
            assert found == []
            continue
        assert f"it may not run {command};" in found[0].what
        assert f"ACL file: +{command.lower()};" in found[0].mend
        mended_by(found, server, granting(role, command), role)


def test_what_a_worker_cannot_work_without_stops_it_and_what_only_shows_does_not(server: Server) -> None:
    kinds = {
        command: found_of(grant(server, *granting("worker", command)))[0].kind
        for command in ("BLPOP", "ZREM", "LTRIM", "HSCAN", "ZREVRANGEBYSCORE", "LPOS", "INFO")
    }
    assert kinds == {
        **dict.fromkeys(("BLPOP", "ZREM", "LTRIM", "HSCAN"), "not-permitted"),
        **dict.fromkeys(("ZREVRANGEBYSCORE", "LPOS", "INFO"), "less-permitted"),
    }
    (found,) = found_of(grant(server, *granting("worker", "BLPOP")))
    assert "what it cannot do is wait" in found.what


def test_who_may_run_no_script_is_given_the_whole_line(server: Server) -> None:
    for but in (("EVAL",), ("EVAL", "EVALSHA")):
        url = grant(server, *granting("worker", *but))
        found = found_of(url)
        assert (found[0].severity, "it may not run EVAL" in found[0].what) == ("stops", True)
        mended_by(found, server, granting("worker", *but))


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (("resetkeys", "~callboard:{other}:*"), "it may run none of its commands on these keys"),
        (("resetkeys",), "it may run none of its commands on these keys"),
        (("resetkeys", "%R~callboard:{default}:*"), "it may not run"),
        (("-@all", "+@connection"), "it may not run EVAL"),
        (("-@write",), "it may not run"),
    ],
)
def test_closed_keys_and_reading_alone_are_told_and_mended_by_what_is_told(
    server: Server, rules: tuple[str, ...], told: str
) -> None:
    found = found_of(grant(server, *granting("worker"), *rules))
    assert [(each.kind, told in each.what) for each in found] == [("not-permitted", True)], found
    mended_by(found, server, [*granting("worker"), *rules])


def test_a_worker_with_another_role_s_url_is_stopped_unless_it_is_forced(server: Server) -> None:
    for role in ("publisher", "reader", "operator"):
        with closing(RedisMailbox(url_as(role, server.url))) as mailbox:
            with pytest.raises(UnsuitableServer, match=f"user '{role}' may not do what the role worker"):
                ensure_worker_permitted(mailbox, load_settings(environ={}))
            with capture_logs() as logs:
                ensure_worker_permitted(mailbox, load_settings(environ={}, force=True))
        assert [(line["log_level"], line["kind"]) for line in logs] == [("error", "not-permitted")]


def test_a_publisher_that_may_not_publish_is_told_so_once_and_goes_on(server: Server) -> None:
    with closing(RedisMailbox(url_as("reader", server.url))) as mailbox, capture_logs() as logs:
        tell_publisher(mailbox)
    assert [(line["log_level"], line["kind"]) for line in logs] == [("error", "not-permitted")]
    assert "publish" in logs[0]["what"]
    with closing(RedisMailbox(url_as("publisher", server.url))) as mailbox, capture_logs() as logs:
        tell_publisher(mailbox)
    assert logs == []


def test_no_password_and_a_wrong_one_are_refused_without_telling_it(server: Server) -> None:
    wrong = url_as("worker", server.url).replace(PASSWORDS["worker"], "hunter2")
    for url in (server.url, wrong):
        with pytest.raises(MailboxRefused, match="check its name and password") as caught:
            found_of(url)
        assert "hunter2" not in str(caught.value)


def test_a_server_that_only_resembles_redis_and_cannot_be_asked_stops_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = Script("permitted")
    asks.text = asks.text.replace("redis.acl_check_cmd", "redis.acl_check_cmd_of_others")
    monkeypatch.setattr("callboard.actors.mailbox.permissions.Script", lambda _: asks)
    (found,) = found_as("worker", server, of="worker")
    assert (found.kind, found.severity) == ("not-known", "note")
    assert "cannot be asked in a script" in found.what


def test_a_server_that_is_not_there_is_unavailable(server: Server) -> None:
    with pytest.raises(MailboxUnavailable):
        found_of(f"{server.url}.none")


def test_a_worker_that_dramatiq_starts_is_stopped_too(server: Server) -> None:
    app = Callboard("shop", url=url_as("publisher", server.url), metrics="none")
    with pytest.raises(dramatiq.BrokerConnectionError, match="may not do what the role worker"):
        dramatiq.Worker(app.broker, worker_threads=1).start()
    app.close()
