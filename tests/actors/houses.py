"""The brokers that one dramatiq program is played on: dramatiq's own two, and Callboard's on each mailbox."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import dramatiq
import redis
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import CurrentMessage, Middleware

from callboard import CallboardBroker
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.messages.delivery import OutcomeKind
from tests.actors.rehearsal import until

NAMES = ("stub", "redis", "memory", "valkey")
"""dramatiq's `StubBroker` and `RedisBroker`, and `CallboardBroker` over the mailbox of each kind."""

Said = dict[str, Any]
"""A message as a dictionary."""

QUICK: dict[str, Any] = {"min_backoff": 1, "max_backoff": 2}
"""Options of an actor whose retries come at once."""


class House(Protocol):
    """A broker with what a test asks of it beside what dramatiq's brokers have in common."""

    @property
    def broker(self) -> dramatiq.Broker:
        """The broker that the program is played on."""
        ...

    def is_empty(self) -> bool:
        """Whether no queue holds a message, wherever it stands."""
        ...

    def dead(self) -> list[Said]:
        """The dead letters of all queues."""
        ...


class StubHouse:
    """dramatiq's broker for tests."""

    def __init__(self) -> None:
        self.broker = StubBroker(fail_fast_default=False)

    def is_empty(self) -> bool:
        return not any(queue.unfinished_tasks for queue in self.broker.queues.values())

    def dead(self) -> list[Said]:
        return [json.loads(message.encode()) for message in self.broker.dead_letters]


class RedisHouse:
    """dramatiq's broker on a server, in a namespace of its own."""

    def __init__(self, url: str, namespace: str) -> None:
        # A client from the URL: the broker cannot take one of a unix socket apart.
        self._client: Any = redis.Redis.from_url(url)
        self._namespace = namespace
        self.broker = RedisBroker(client=self._client, namespace=namespace)

    def is_empty(self) -> bool:
        return not any(self.broker.do_qsize(queue) for queue in self.broker.queues)

    def dead(self) -> list[Said]:
        found: list[Said] = []
        for queue in self.broker.queues:
            bodies = self._client.hvals(f"{self._namespace}:{queue}.XQ.msgs")
            found += [json.loads(body) for body in bodies]
        return found


class CallboardHouse:
    """Callboard's broker on a mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.broker = CallboardBroker(mailbox)

    def is_empty(self) -> bool:
        return not any(queue.live for queue in self.mailbox.info().queues)

    def dead(self) -> list[Said]:
        return [
            json.loads(record.body)
            for queue in self.broker.queues
            for record in self.mailbox.ended(queue)
            if record.kind is OutcomeKind.DEAD
        ]


@contextmanager
def at_work(house: House, *, threads: int = 2) -> Iterator[dramatiq.Worker]:
    """A worker of a house, stopped at the end as a signal would stop it."""
    worker = dramatiq.Worker(house.broker, worker_threads=threads, worker_timeout=20)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(timeout=20_000)


def work_off(house: House, *, threads: int = 2) -> None:
    """Run a worker until nothing is left to do: what a hook sends comes before the end of its message."""
    with at_work(house, threads=threads):
        until(house.is_empty, "an empty house")


class Diary(Middleware):
    """Writes down what was enqueued with a delay, and when each attempt began."""

    def __init__(self) -> None:
        self.delays: list[int] = []
        """Milliseconds that were asked for, in order."""
        self.began: list[float] = []
        """Seconds of the monotonic clock."""
        self.options: list[dict[str, Any]] = []
        """What each attempt's message came with."""

    def after_enqueue(
        self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None
    ) -> None:
        del broker, message
        if delay is not None:
            self.delays.append(delay)

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        del broker
        self.began.append(time.monotonic())
        self.options.append(dict(message.options))

    @property
    def gaps(self) -> list[float]:
        """Milliseconds from each attempt to the next."""
        return [1000 * (after - before) for before, after in zip(self.began, self.began[1:], strict=False)]


def keep_diary(house: House) -> Diary:
    """Let a diary be kept in a house, before any actor is declared."""
    diary = Diary()
    house.broker.add_middleware(diary)
    return diary


def current() -> Said:
    """The message that the calling actor runs for; the house must have `CurrentMessage`."""
    message: Any = CurrentMessage.get_current_message()
    assert message is not None
    said: Said = message.asdict()
    return said | {"options": dict(said["options"])}


def failing(house: House, error: Callable[[], BaseException], **options: Any) -> tuple[Any, list[int]]:
    """An actor that always fails, and a mark for each time it was called."""
    calls: list[int] = []

    @dramatiq.actor(broker=house.broker, actor_name="failing", **options)
    def fails(*arguments: Any) -> None:
        del arguments
        calls.append(len(calls) + 1)
        raise error()

    return fails, calls


def doubler(house: House, **options: Any) -> Any:
    """An actor that doubles the number it is given."""

    @dramatiq.actor(broker=house.broker, **options)
    def double(number: int) -> int:
        return 2 * number

    return double


def adder(house: House, **options: Any) -> Any:
    """An actor that adds the numbers it is given."""

    @dramatiq.actor(broker=house.broker, **options)
    def add(*numbers: int) -> int:
        return sum(numbers)

    return add
