"""The layer of metrics counts on each of dramatiq's brokers what became of its messages there."""

import time
from collections import Counter
from typing import Any

import dramatiq
import pytest
from prometheus_client import CollectorRegistry

from callboard import (
    Discard,
    DiscardEvent,
    MetricsLayer,
    RejectEvent,
    Retry,
    RetryLater,
    Stack,
)
from tests.actors.rehearsal import AT_ONCE
from tests.middleware.conftest import Ground
from tests.middleware.test_metrics import told

# Callboard's own counts for its app.
pytestmark = pytest.mark.parametrize("ground", ["stub", "redis", "rabbitmq"], indirect=True)


@pytest.fixture
def registry() -> CollectorRegistry:
    """An empty one."""
    return CollectorRegistry()


@pytest.fixture
def measured(ground: Ground, registry: CollectorRegistry) -> Ground:
    """Each of dramatiq's brokers with metrics."""
    ground.broker.middleware.remove(ground.stack)
    ground.stack = Stack(metrics=MetricsLayer(registry))
    ground.broker.add_middleware(ground.stack)
    return ground


def settled(registry: CollectorRegistry) -> Counter[Any]:
    """What attempts came to, by actor."""
    return told(registry, "callboard_deliveries_settled_total", "actor", "outcome")


def ended(registry: CollectorRegistry) -> Counter[Any]:
    """What messages ended as, by actor."""
    return told(registry, "callboard_deliveries_ended_total", "actor", "result", "reason")


def declare(broker: dramatiq.Broker) -> None:
    """Actors whose messages end in every way there is on such a broker."""

    def act(how: str) -> None:
        match how:
            case "reject":
                raise RejectEvent("no")
            case "discard":
                raise DiscardEvent("no")
            case "fail":
                raise ValueError("no")
            case "slow":
                while True:
                    time.sleep(0.001)

    declared: dict[str, Any] = {"broker": broker, "timeout": "100ms"}
    dramatiq.actor(actor_name="ours", retry=AT_ONCE, **declared)(act)
    dramatiq.actor(actor_name="theirs", max_retries=1, min_backoff=1, max_backoff=1, **declared)(act)
    dramatiq.actor(actor_name="stale", discard=Discard(max_age=0), **declared)(act)


def test_every_end_is_counted_once(measured: Ground, registry: CollectorRegistry) -> None:
    declare(measured.broker)
    for name in ("ours", "theirs", "stale"):
        for how in ("go", "reject", "discard", "fail", "slow"):
            measured.broker.get_actor(name).send(how)
    measured.work_off()
    assert ended(registry) == {
        **{(name, "succeeded", ""): 1 for name in ("ours", "theirs")},
        **{(name, "dead", "rejected"): 1 for name in ("ours", "theirs")},
        **{(name, "discarded", "rejected"): 1 for name in ("ours", "theirs")},
        **{(name, "dead", "max_attempts"): 2 for name in ("ours", "theirs")},
        ("stale", "discarded", "max_age"): 5,
    }
    assert told(registry, "callboard_deliveries_ended_total", "queue") == {("default",): 15}
    assert (
        told(registry, "callboard_deliveries_ended_total", "result")["dead",] == measured.dead("default") == 6
    )


def test_the_end_of_what_only_dramatiq_decides_upon(measured: Ground, registry: CollectorRegistry) -> None:
    @dramatiq.actor(broker=measured.broker, max_retries=1, min_backoff=1, max_backoff=1)
    def bare(fails: bool) -> None:
        if fails:
            raise ValueError("no")

    for fails in (False, True, True):
        bare.send(fails)
    measured.work_off()
    assert settled(registry) == {("bare", "succeeded"): 1, ("bare", "retried"): 4}
    assert ended(registry) == {("bare", "succeeded", ""): 1, ("bare", "dead", "max_attempts"): 2}
    assert measured.dead("default") == 2


def test_what_dramatiq_finds_too_old_is_dead_without_an_attempt(
    measured: Ground, registry: CollectorRegistry
) -> None:
    def act() -> None: ...

    dramatiq.actor(actor_name="ours", broker=measured.broker, max_age=1, retry=AT_ONCE)(act)
    dramatiq.actor(actor_name="bare", broker=measured.broker, max_age=1)(act)
    for name in ("ours", "bare"):
        measured.broker.enqueue(measured.broker.get_actor(name).message().copy(message_timestamp=1))
    measured.work_off()
    assert ended(registry) == {("ours", "dead", "max_age"): 1, ("bare", "dead", "max_age"): 1}
    assert settled(registry) == {}
    assert measured.dead("default") == 2


def test_a_message_comes_back_in_its_queue(measured: Ground, registry: CollectorRegistry) -> None:
    calls: list[int] = []

    @dramatiq.actor(broker=measured.broker, retry=Retry.every("50ms", max_attempts=3))
    def again() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no")
        if len(calls) == 2:
            raise RetryLater(50)

    again.send_with_options(delay=100)
    measured.work_off()
    assert told(registry, "callboard_deliveries_settled_total", "queue", "outcome") == {
        ("default", "retried"): 2,
        ("default", "succeeded"): 1,
    }
    assert told(registry, "callboard_delivery_attempts_sum", "actor") == {("again",): 3}
    assert told(registry, "callboard_delivery_wait_seconds_count", "queue") == {("default",): 1}
