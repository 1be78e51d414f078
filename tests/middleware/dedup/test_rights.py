"""The user that docs/server.md gives a dedup store may do what the store does, and no more."""

import re
from contextlib import closing

import pytest
import redis
from redis.exceptions import NoPermissionError

from callboard.messages.errors import StoreRefused
from callboard.middleware.dedup.redis import RedisDedupStore
from callboard.middleware.dedup.scripts import Script
from tests.actors.mailbox.roles import DEPLOY, role_server, url_as
from tests.middleware.dedup.conftest import as_store, rules
from tests.servers import Kind, Server

SCRIPTS = ("claim", "commit", "release", "renew")


def test_he_has_what_the_scripts_name_and_what_runs_them() -> None:
    named = {name for script in SCRIPTS for name in re.findall(r"call\('([A-Z]+)'", Script(script).text)}
    granted = {rule[1:].upper() for rule in rules() if re.fullmatch(r"\+[a-z]+", rule)}
    assert granted == named | {"EVAL", "EVALSHA"}


def test_of_his_connection_he_has_what_the_roles_have() -> None:
    told = re.search(r"-@all .*? (?=\+[a-z])", (DEPLOY / "users.acl").read_text("utf-8"))
    assert told is not None
    assert told[0] in " ".join(rules())


@pytest.mark.parametrize("fixture", ["store_valkey", "store_redis"])
def test_he_may_touch_nothing_else(request: pytest.FixtureRequest, fixture: str) -> None:
    server: Server = request.getfixturevalue(fixture)
    with redis.Redis.from_url(server.url) as client:
        client.acl_log_reset()
        with redis.Redis.from_url(as_store(server.url)) as store:
            for command in (
                ("GET", "callboard:{default}:bodies"),
                ("FLUSHALL",),
                ("CLIENT", "TRACKING", "ON"),
            ):
                with pytest.raises(NoPermissionError):
                    store.execute_command(*command)
        client.acl_log_reset()


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_worker_of_the_workspace_may_use_the_store_of_that_name_and_of_no_other(
    kind: Kind, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with role_server(kind, tmp_path_factory.mktemp(kind), workspace="default") as server:
        url = url_as("worker", server.url)
        with closing(RedisDedupStore(url)) as store:
            claim = store.claim("a", b"print", owner="w", lease_ms=10_000)
            assert store.renew(claim)
            assert store.release(claim)
            again = store.claim("a", b"print", owner="w", lease_ms=10_000)
            assert store.commit(again, 10_000)
        with closing(RedisDedupStore(url, "other")) as store, pytest.raises(StoreRefused, match="not permit"):
            store.claim("a", b"print", owner="w", lease_ms=10_000)
