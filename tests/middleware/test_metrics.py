"""Attempts are measured on every broker of dramatiq, in a registry that is there already."""

from collections import Counter
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as TheirCounter
from prometheus_client.parser import text_string_to_metric_families

from callboard import MetricsLayer, Retry, Stack
from tests.actors.rehearsal import AT_ONCE


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of an app that counts things of its own."""
    made = CollectorRegistry()
    TheirCounter("theirs", "What the app counts itself.", registry=made).inc(7)
    return made


@pytest.fixture
def broker(registry: CollectorRegistry) -> StubBroker:
    """dramatiq's broker for tests, with metrics on it."""
    made = StubBroker()
    made.add_middleware(Stack(metrics=MetricsLayer(registry, namespace="shop")))
    return made


def work_off(broker: StubBroker) -> None:
    """Run a worker until nothing is left to do."""
    worker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=2)
    worker.start()
    try:
        broker.join("default", timeout=20_000, fail_fast=False)
        worker.join()
    finally:
        worker.stop()


def told(registry: CollectorRegistry, name: str, *labels: str) -> Counter[Any]:
    """What a metric of the registry shows, by some of its labels."""
    found: Counter[Any] = Counter()
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
    return +found


def test_actors_with_and_without_options_are_counted(broker: StubBroker, registry: CollectorRegistry) -> None:
    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=1)
    def bare(what: str) -> None:
        if what == "fail":
            raise ValueError

    @dramatiq.actor(broker=broker, retry=AT_ONCE)
    def guarded(what: str) -> None:
        if what == "fail":
            raise ValueError

    for what in ("go", "fail"):
        bare.send(what)
        guarded.send(what)
    work_off(broker)
    assert told(registry, "shop_deliveries_settled_total", "actor", "outcome") == {
        ("bare", "succeeded"): 1,
        ("bare", "retried"): 2,
        ("guarded", "succeeded"): 1,
        ("guarded", "retried"): 2,
        ("guarded", "dead"): 1,
    }
    assert told(registry, "shop_deliveries_ended_total", "actor", "result", "reason") == {
        ("bare", "succeeded", ""): 1,
        ("bare", "dead", "max_attempts"): 1,
        ("guarded", "succeeded", ""): 1,
        ("guarded", "dead", "max_attempts"): 1,
    }
    assert told(registry, "shop_delivery_errors_total", "actor", "error") == {
        ("bare", "ValueError"): 2,
        ("guarded", "ValueError"): 3,
    }
    assert told(registry, "shop_delivery_processing_seconds_count", "queue") == {("default",): 7}
    assert told(registry, "theirs_total") == {(): 7}


def test_what_a_measured_actor_returns_and_raises_is_dramatiqs(broker: StubBroker) -> None:
    class Witness(dramatiq.Middleware):
        """Sees what dramatiq sees."""

        def __init__(self) -> None:
            self.seen: list[tuple[object, type | None]] = []

        def after_process_message(
            self, broker: dramatiq.Broker, message: Any, *, result: Any = None, exception: Any = None
        ) -> None:
            self.seen.append((result, exception and type(exception)))

    witness = Witness()
    broker.add_middleware(witness)

    @dramatiq.actor(broker=broker, max_retries=0)
    def bare(what: str) -> str:
        if what == "fail":
            raise ValueError
        return what

    assert bare("go") == "go"  # a plain call is a plain call
    bare.send("go")
    work_off(broker)
    bare.send("fail")
    work_off(broker)
    assert witness.seen == [("go", None), (None, ValueError)]


def test_without_a_layer_of_metrics_an_actor_without_options_is_left_alone() -> None:
    broker = StubBroker()
    broker.add_middleware(Stack(retry=None))

    def fn() -> None: ...

    assert dramatiq.actor(broker=broker)(fn).fn is fn
    stack = Stack(retry=Retry.never())
    assert [place.name for place in stack.order if place.name == "metrics"] == ["metrics"]
    assert not stack.order[0].wanted_by(None)  # type: ignore[arg-type]  # it asks no policy


def test_two_layers_in_one_registry_need_two_namespaces(registry: CollectorRegistry) -> None:
    MetricsLayer(registry)
    with pytest.raises(ValueError, match="callboard_"):
        MetricsLayer(registry)
    MetricsLayer(registry, namespace="other")
