"""Dramatiq's own brokers, and Callboard's, each with the stack added to it as any other middleware."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker

from callboard import CallboardBroker, MemoryMailbox, Stack
from tests.rabbitmq import start_rabbitmq
from tests.servers import start_server


class Ground:
    """A broker with the stack, and what tests ask of any of them."""

    def __init__(self, broker: dramatiq.Broker, dead: Callable[[str], int]) -> None:
        self.broker = broker
        self.stack = Stack()
        broker.add_middleware(self.stack)
        self.dead = dead
        """How many messages of a queue are dead."""

    def work_off(self, queue: str = "default") -> None:
        """Run a worker until a queue holds nothing."""
        worker = dramatiq.Worker(self.broker, worker_timeout=20, worker_threads=2)
        worker.start()
        try:
            if isinstance(self.broker, StubBroker):
                self.broker.join(queue, timeout=20_000, fail_fast=False)
            else:
                self.broker.join(queue, timeout=20_000)
            worker.join()
        finally:
            worker.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for dramatiq's Redis broker."""
    server = start_server("redis", tmp_path_factory.mktemp("redis"))
    yield server.url
    server.kill()


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for dramatiq's RabbitMQ broker."""
    with start_rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


@contextmanager
def _stub(_: pytest.FixtureRequest) -> Iterator[Ground]:
    broker = StubBroker()
    yield Ground(broker, lambda queue: len(broker.dead_letters_by_queue[queue]))


@contextmanager
def _redis(request: pytest.FixtureRequest) -> Iterator[Ground]:
    broker = RedisBroker(url=request.getfixturevalue("redis_url"), namespace=request.node.name)
    client: Any = broker.client
    yield Ground(broker, lambda queue: client.zcard(f"{broker.namespace}:{queue}.XQ"))
    broker.close()


@contextmanager
def _rabbitmq(request: pytest.FixtureRequest) -> Iterator[Ground]:
    broker = RabbitmqBroker(url=request.getfixturevalue("rabbitmq_url"))

    def dead(queue: str) -> int:
        count: int = broker.channel.queue_declare(f"{queue}.XQ", passive=True).method.message_count
        return count

    yield Ground(broker, dead)
    for queue in broker.get_declared_queues() | broker.get_declared_delay_queues():
        for name in (queue, f"{queue}.XQ"):
            broker.channel.queue_delete(name)
    broker.close()


@contextmanager
def _callboard(_: pytest.FixtureRequest) -> Iterator[Ground]:
    broker = CallboardBroker(MemoryMailbox())
    yield Ground(broker, lambda queue: _dead_in(broker, queue))
    broker.close()


def _dead_in(broker: CallboardBroker, queue: str) -> int:
    return sum(known.dead for known in broker.mailbox.info().queues if known.queue == queue)


_GROUNDS = {"stub": _stub, "redis": _redis, "rabbitmq": _rabbitmq, "callboard": _callboard}


@pytest.fixture(params=list(_GROUNDS))
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Each broker in turn."""
    del tmp_path
    with _GROUNDS[request.param](request) as made:
        yield made
