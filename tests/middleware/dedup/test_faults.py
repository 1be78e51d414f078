"""Each way in which a server can fail has an error by name, and the handler does not run."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as NoConnection

from callboard.messages.delivery import SUCCEEDED, OutcomeKind
from callboard.messages.errors import ConfigurationError, StoreError, StoreRefused, StoreUnavailable
from callboard.middleware.attempt import Attempt
from callboard.middleware.dedup.layer import Deduplicate
from callboard.middleware.dedup.option import Dedup
from callboard.middleware.dedup.redis import RedisDedupStore
from callboard.middleware.dedup.store import ClaimVerdict
from tests.chaos.proxy import Proxy
from tests.middleware.dedup.attempts import attempt, perform
from tests.middleware.dedup.stages import BODY, DAY, LONG
from tests.servers import Kind, Server, start_server

PATIENCE = 20.0


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server for this test alone."""
    kind: Kind = request.param
    made = start_server(kind, tmp_path / "s", "--enable-debug-command", "yes")
    yield made
    made.resume()
    made.kill()


@pytest.fixture
def client(server: Server) -> Iterator["redis.Redis"]:
    """The operator's connection."""
    with redis.Redis.from_url(server.url, socket_timeout=PATIENCE) as made:
        yield made


@pytest.fixture
def store(server: Server) -> Iterator[RedisDedupStore]:
    """A store that has been used, so that its scripts and a connection are there."""
    with closing(RedisDedupStore(server.url)) as made:
        made.claim("first", BODY, owner="me", lease_ms=LONG)
        yield made


def never(_: Attempt) -> None:
    raise AssertionError("the handler ran")


def check(store: RedisDedupStore, error: type[StoreError]) -> None:
    """The error has a name, and a delivery waits with no attempt charged."""
    with pytest.raises(error):
        store.claim("A-1", BODY, owner="me", lease_ms=LONG)
    layer = Deduplicate()
    made = attempt(Dedup(store=store, lease="50ms"))
    outcome = perform(layer, made, never)
    assert outcome.kind is OutcomeKind.RELEASED
    assert outcome.delay_ms > 0
    assert made.history(outcome.error).attempts == 0
    layer.close(PATIENCE)


def check_recovered(store: RedisDedupStore) -> None:
    """The same store serves again."""
    layer = Deduplicate()
    said = Dedup(store=store, key=lambda _: "after")
    assert perform(layer, attempt(said)) == SUCCEEDED
    assert perform(layer, attempt(said), never).kind is OutcomeKind.DUPLICATE


def test_a_connection_that_is_refused(server: Server, store: RedisDedupStore) -> None:
    server.stop()
    check(store, StoreUnavailable)
    server.restart()
    check_recovered(store)


def test_a_server_that_does_not_answer_in_time(server: Server) -> None:
    with closing(RedisDedupStore(server.url, socket_timeout=0.1)) as store:
        server.pause()
        check(store, StoreUnavailable)
    server.resume()
    with closing(RedisDedupStore(server.url)) as store:
        check_recovered(store)


def test_a_server_that_is_full_takes_no_claim_but_lets_holders_end(
    client: "redis.Redis", store: RedisDedupStore
) -> None:
    claims = [store.claim(str(number), BODY, owner="me", lease_ms=LONG) for number in range(3)]
    client.config_set("maxmemory", 1)
    check(store, StoreRefused)
    assert all(store.renew(claim) for claim in claims)
    assert store.commit(claims[0], DAY)
    assert store.release(claims[1])
    assert store.release(claims[2], forget=True)
    client.config_set("maxmemory", 0)
    check_recovered(store)


def test_a_replica_refuses(client: "redis.Redis", store: RedisDedupStore) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    check(store, StoreRefused)
    client.execute_command("REPLICAOF", "NO", "ONE")
    check_recovered(store)


@pytest.mark.parametrize("rights", ["+@all -evalsha -eval ~*", "+@all ~other:*", "+evalsha +eval ~*"])
def test_a_user_who_may_not(server: Server, client: "redis.Redis", rights: str) -> None:
    client.execute_command("ACL", "SETUSER", "ann", "on", ">secret", *rights.split())
    with closing(RedisDedupStore(server.url.replace("//", "//ann:secret@"))) as store:
        check(store, StoreRefused)


def test_a_wrong_password(server: Server, client: "redis.Redis") -> None:
    client.config_set("requirepass", "secret")
    with closing(RedisDedupStore(server.url.replace("//", "//default:wrong@"))) as store:
        check(store, StoreRefused)
    with closing(RedisDedupStore(server.url)) as store:
        check(store, StoreRefused)


def test_a_server_that_is_loading(server: Server, client: "redis.Redis", store: RedisDedupStore) -> None:
    with loading(server, client):
        check(store, StoreUnavailable)


@contextmanager
def loading(server: Server, client: "redis.Redis") -> Iterator[None]:
    """Let the server load its data, far longer than a test takes, and end it then."""
    client.mset({f"ballast-{number}": "x" * 512 for number in range(30_000)})
    client.config_set("loading-process-events-interval-bytes", 4096)
    client.config_set("key-load-delay", 1000)
    reload = threading.Thread(target=reload_until_it_ends, args=(client,))
    reload.start()
    with redis.Redis.from_url(server.url, socket_timeout=PATIENCE) as other:
        while not is_loading(other):
            assert reload.is_alive(), "it loaded before anybody could look"
        yield
    server.kill()
    reload.join()


def reload_until_it_ends(client: "redis.Redis") -> None:
    with suppress(NoConnection):
        client.execute_command("DEBUG", "RELOAD")


def is_loading(client: "redis.Redis") -> bool:
    try:
        client.ping()
    except BusyLoadingError:
        return True
    return False


def test_a_script_that_was_flushed_is_sent_again_and_the_handler_runs(
    client: "redis.Redis", store: RedisDedupStore
) -> None:
    client.script_flush()
    check_recovered(store)


# A reply that was lost.


@pytest.fixture
def proxy(server: Server, tmp_path: Path) -> Iterator[Proxy]:
    """What stands between the store and the server and can lose a reply."""
    made = Proxy(tmp_path / "p.sock", Path(server.url.removeprefix("unix://")), lambda *_: None)
    made.start()
    yield made
    made.close()


@pytest.fixture
def behind(proxy: Proxy) -> Iterator[RedisDedupStore]:
    """A store behind the proxy."""
    with closing(RedisDedupStore(proxy.url)) as made:
        made.claim("first", BODY, owner="me", lease_ms=LONG)
        yield made


def test_a_claim_whose_reply_is_lost_is_asked_for_again_and_is_the_same(
    proxy: Proxy, behind: RedisDedupStore
) -> None:
    proxy.cut(b"A-1")
    claim = behind.claim("A-1", BODY, owner="me", lease_ms=LONG)
    assert (claim.verdict, claim.takeovers) == (ClaimVerdict.FRESH, 0)
    assert behind.claim("A-1", BODY, owner="you", lease_ms=LONG).verdict is ClaimVerdict.IN_PROGRESS


@pytest.mark.parametrize("forget", [None, False, True])
def test_an_end_whose_reply_is_lost_is_sent_again_and_answered_as_it_was(
    proxy: Proxy, behind: RedisDedupStore, forget: bool | None
) -> None:
    claim = behind.claim("A-1", BODY, owner="me", lease_ms=LONG)
    proxy.cut(b"A-1")
    assert behind.commit(claim, DAY) if forget is None else behind.release(claim, forget=forget)


def test_a_claim_that_is_never_answered_lets_the_handler_not_run_and_is_let_go_in_the_end(
    proxy: Proxy, behind: RedisDedupStore
) -> None:
    layer = Deduplicate()
    proxy.cut(b"handler:e-1")
    proxy.cut(b"handler:e-1")
    assert perform(layer, attempt(Dedup(store=behind)), never).kind is OutcomeKind.RELEASED
    layer.close(PATIENCE)
    assert perform(layer, attempt(Dedup(store=behind))) == SUCCEEDED


@pytest.mark.parametrize("namespace", ["", "a{b}", "a\n"])
def test_a_namespace_that_cannot_be_part_of_a_key_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigurationError, match="namespace"):
        RedisDedupStore("redis://localhost", namespace)
