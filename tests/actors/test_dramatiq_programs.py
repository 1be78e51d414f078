"""Rate limiters, actors of each kind and a broker's methods work on Callboard's broker as on dramatiq's."""

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import dramatiq
import pytest
import redis
from dramatiq.rate_limits import ConcurrentRateLimiter, WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as LimiterBackend

from tests.actors.houses import QUICK, House, Said, adder, at_work, doubler, work_off
from tests.actors.rehearsal import DEADLINE, until


@pytest.fixture
def limits(open_url: str) -> Iterator[LimiterBackend]:
    """Where limits are kept; their keys are each test's own."""
    client: Any = redis.Redis.from_url(open_url)
    yield LimiterBackend(client=client)
    client.close()


# Rate limiters.


def test_a_concurrent_rate_limiter_keeps_others_out(house: House, limits: LimiterBackend) -> None:
    limiter = ConcurrentRateLimiter(limits, f"mutex-{uuid4()}", limit=1)
    at_once: list[int] = []
    inside = threading.Semaphore(1)
    done: list[int] = []

    @dramatiq.actor(broker=house.broker, max_retries=None, **QUICK)
    def works(number: int) -> None:
        with limiter.acquire():
            at_once.append(inside.acquire(blocking=False))
            threading.Event().wait(0.002)  # long enough for another to come by
            inside.release()
            done.append(number)

    for number in range(10):
        works.send(number)
    work_off(house, threads=4)
    assert sorted(done) == list(range(10))
    assert all(at_once)


def test_a_window_rate_limiter_lets_only_so_many_through(house: House, limits: LimiterBackend) -> None:
    limiter = WindowRateLimiter(limits, f"window-{uuid4()}", limit=3, window=3600)
    through: list[bool] = []

    @dramatiq.actor(broker=house.broker)
    def works() -> None:
        with limiter.acquire(raise_on_failure=False) as acquired:
            through.append(acquired)

    for _ in range(8):
        works.send()
    work_off(house)
    assert sorted(through) == [False] * 5 + [True] * 3


# What else a program of dramatiq uses.


def test_an_async_actor_runs(house: House) -> None:
    house.broker.add_middleware(dramatiq.middleware.AsyncIO())
    seen: list[int] = []

    @dramatiq.actor(broker=house.broker, max_retries=2, **QUICK)
    async def record(number: int) -> None:
        seen.append(number)
        if len(seen) < 2:
            raise ValueError("not yet")

    record.send(7)
    work_off(house)
    assert seen == [7, 7]


def test_messages_may_be_encoded_in_another_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dramatiq.message.global_encoder", dramatiq.PickleEncoder())
    seen: list[Any] = []

    @dramatiq.actor(broker=house.broker, max_retries=2, **QUICK)
    def record(what: Any) -> None:
        seen.append(what)
        if len(seen) < 3:
            raise ValueError("not yet")

    record.send((1, {2, 3}))
    work_off(house)
    assert seen == 3 * [(1, {2, 3})]


def test_an_actor_may_be_a_class(house: House) -> None:
    seen: list[int] = []

    class Record(dramatiq.GenericActor):
        """Writes down a number."""

        class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]  # how dramatiq wants it said
            broker = house.broker
            queue_name = "classes"

        def perform(self, number: int) -> None:
            """Write it down."""
            seen.append(number)

    Record.send(7)
    work_off(house)
    assert seen == [7]


def test_tools_find_out_what_was_declared(house: House) -> None:
    double, other = doubler(house), adder(house, queue_name="other")
    broker = house.broker
    assert broker.get_declared_actors() == {double.actor_name, other.actor_name}
    assert broker.get_declared_queues() - broker.get_declared_delay_queues() == {"default", "other"}
    assert broker.get_actor("double") is double


def test_an_actor_that_skips_a_message_has_it_done(house: House) -> None:
    @dramatiq.actor(broker=house.broker)
    def skips() -> None:
        raise dramatiq.middleware.SkipMessage("not now")

    skips.send()
    work_off(house)
    assert house.is_empty()
    assert house.dead() == []


def test_a_message_that_a_middleware_rejects_is_dead(house: House) -> None:
    class Rejects(dramatiq.Middleware):
        """Will not have any message."""

        def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
            del broker
            message.fail()

    house.broker.add_middleware(Rejects())
    double = doubler(house)
    double.send(1)
    work_off(house)
    assert [dead["args"] for dead in house.dead()] == [[1]]


def test_flushing_leaves_nothing(house: House) -> None:
    double, other = doubler(house), adder(house, queue_name="other")
    for delay in (None, 3_600_000):
        double.send_with_options(args=(1,), delay=delay)
        other.send_with_options(args=(1,), delay=delay)
    house.broker.flush_all()
    assert house.is_empty()


def test_joining_waits_for_what_is_delayed_and_tried_again(house: House) -> None:
    starts: list[int] = []

    @dramatiq.actor(broker=house.broker, max_retries=2, **QUICK)
    def fails() -> None:
        starts.append(1)
        raise ValueError("no luck")

    fails.send_with_options(delay=10)
    with at_work(house) as worker:
        house.broker.join("default", timeout=round(DEADLINE * 1000))
        worker.join()
        assert len(starts) == 3


def test_a_worker_of_some_queues_leaves_the_others_alone(house: House) -> None:
    seen: list[str] = []

    @dramatiq.actor(broker=house.broker, queue_name="mine")
    def mine() -> None:
        seen.append("mine")

    @dramatiq.actor(broker=house.broker, queue_name="others")
    def others() -> None:
        seen.append("others")

    others.send()
    mine.send()
    worker = dramatiq.Worker(house.broker, queues={"mine"}, worker_threads=1, worker_timeout=20)
    worker.start()
    until(lambda: seen, "the message of its queue")
    worker.stop()
    assert seen == ["mine"]
    work_off(house)
    assert seen == ["mine", "others"]


def test_a_worker_that_was_paused_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.01)
    double = doubler(house, on_success="told")
    told: list[int] = []

    @dramatiq.actor(broker=house.broker, actor_name="told")
    def tell(message: Said, result: int) -> None:
        told.append(result)

    with at_work(house) as worker:
        double.send(1)
        until(lambda: told == [2], "the first result")
        worker.pause()
        worker.resume()
        double.send(2)
        until(lambda: told == [2, 4], "the second result")
