"""Invariants I5 and I7 for the stack on dramatiq's own Redis broker, whatever a server fails with."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import MAINTENANCE_SCALE, RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry as ClientRetry
from structlog.testing import capture_logs

from callboard import Dedup, RedisDedupStore, RejectEvent, Retry, Stack
from tests.actors.rehearsal import until
from tests.outages import IMPATIENT, OUTAGES, Ailing, Outage, errors_of

AT_ONCE = Retry.every("10ms")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Ailing]:
    """A server for this test alone."""
    made = Ailing("redis", tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again soon."""
    monkeypatch.setattr("dramatiq.worker.POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.05)
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)
    monkeypatch.setattr("callboard.middleware.dedup.layer.UNREACHABLE_MS", 50)


def broker_at(url: str, **options: Any) -> RedisBroker:
    """A broker with the stack, which soon says that its server fails."""
    client = redis.Redis.from_url(url, socket_timeout=IMPATIENT, retry=ClientRetry(NoBackoff(), 0))
    broker = RedisBroker(client=client, **options)
    broker.add_middleware(Stack())
    return broker


@contextmanager
def working(broker: dramatiq.Broker) -> Iterator[None]:
    """A worker, stopped at the end."""
    worker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=1)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


@pytest.mark.parametrize("how", [how for how in OUTAGES if how != "noscript"])
def test_no_handler_runs_while_its_dedup_store_is_lost_and_each_runs_afterwards(
    server: Ailing, redis_url: str, how: str, request: pytest.FixtureRequest
) -> None:
    outage, seen = Outage(server, how), list[str]()
    broker = broker_at(redis_url, namespace=request.node.name)
    with closing(RedisDedupStore(outage.url, socket_timeout=IMPATIENT)) as store:

        @dramatiq.actor(broker=broker, dedup=Dedup(store=store), retry=AT_ONCE)
        def handler(name: str) -> None:
            seen.append(name)

        outage.begin()
        handler.send("A")
        event = "the handler does not run without its dedup store"
        with capture_logs() as logs, working(broker):
            until(lambda: outage.met(errors_of(event, logs)), "a claim that fails")
            assert seen == []
            outage.end()
            until(lambda: seen, "the handler")
    broker.close()
    assert seen == ["A"]


def declared(broker: RedisBroker, fail: Callable[[], None]) -> "dramatiq.Actor[[], None]":
    """An actor that fails as it is told."""

    @dramatiq.actor(broker=broker, retry=AT_ONCE)
    def handler() -> None:
        fail()

    return handler


@pytest.mark.parametrize("how", OUTAGES)
def test_a_retry_that_cannot_be_enqueued_is_enqueued_when_the_server_is_well(
    server: Ailing, how: str
) -> None:
    outage, starts = Outage(server, how), list[int]()

    def fail_once() -> None:
        starts.append(1)
        if len(starts) == 1:
            outage.begin()
            raise ConnectionError("not now")

    broker = broker_at(outage.url)
    handler = declared(broker, fail_once)
    handler.send()
    event = "the next attempt cannot be enqueued: this one is kept"
    with capture_logs() as logs, working(broker):
        until(lambda: errors_of(event, logs) or how == "noscript", "an enqueue that fails")
        outage.end()
        until(lambda: len(starts) > 1, "the next attempt")
    broker.close()


@pytest.mark.parametrize("how", OUTAGES)
def test_a_dead_letter_that_cannot_be_written_is_written_or_the_message_starts_again(
    server: Ailing, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    outage, starts = Outage(server, how), list[int]()

    def fail() -> None:
        starts.append(1)
        if len(starts) == 1:
            outage.begin()
        raise RejectEvent("no")

    broker = broker_at(outage.url)
    declared(broker, fail).send()
    with working(broker):
        until(lambda: "post_process_message" in caplog.text or how == "noscript", "a nack that fails")
        outage.end()
    broker.close()
    # dramatiq leaves what it could not write to whoever finds that the worker is gone.
    other = broker_at(outage.url, heartbeat_timeout=1, maintenance_chance=MAINTENANCE_SCALE)
    declared(other, fail)
    with working(other):
        until(lambda: server.operator.zcard("dramatiq:default.XQ") == 1, "the dead letter")
    other.close()
