"""Pipelines, groups, callbacks and results work on Callboard's broker as on dramatiq's own."""

from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend as LimiterBackend
from dramatiq.results import ResultFailure, Results
from dramatiq.results.backends import RedisBackend as ResultBackend

from tests.actors.houses import QUICK, House, Said, adder, at_work, doubler, work_off
from tests.actors.rehearsal import DEADLINE

WAIT: dict[str, Any] = {"block": True, "timeout": round(DEADLINE * 1000)}


@pytest.fixture
def client(open_url: str) -> Iterator[Any]:
    """A client of the server where results and limits are kept."""
    made: Any = redis.Redis.from_url(open_url)
    yield made
    made.close()


@pytest.fixture
def limits(client: Any) -> LimiterBackend:
    """Where limits are kept; their keys are each test's own."""
    return LimiterBackend(client=client)


def store_results(house: House, client: Any) -> ResultBackend:
    """Let results be kept, before any actor is declared."""
    backend = ResultBackend(client=client)
    house.broker.add_middleware(Results(backend=backend))
    return backend


# Results.


def test_a_result_can_be_waited_for(house: House, client: Any) -> None:
    backend = store_results(house, client)
    double = doubler(house, store_results=True)
    with at_work(house):
        message = double.send(21)
        assert message.get_result(backend=backend, **WAIT) == 42


def test_the_default_broker_of_dramatiq_knows_where_results_are(
    house: House, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    dramatiq.set_broker(house.broker)
    store_results(house, client)

    @dramatiq.actor(store_results=True)
    def shout(word: str) -> str:
        return word.upper()

    assert shout.broker is dramatiq.get_broker() is house.broker
    with at_work(house):
        assert shout.send("x").get_result(**WAIT) == "X"


def test_a_message_that_is_dead_has_its_error_as_result(house: House, client: Any) -> None:
    backend = store_results(house, client)

    @dramatiq.actor(broker=house.broker, store_results=True, max_retries=1, **QUICK)
    def fails() -> None:
        raise ValueError("no luck")

    with at_work(house), pytest.raises(ResultFailure, match="ValueError: no luck"):
        fails.send().get_result(backend=backend, **WAIT)


def test_a_message_that_recovers_has_the_result_of_its_last_attempt(house: House, client: Any) -> None:
    backend = store_results(house, client)
    starts: list[int] = []

    @dramatiq.actor(broker=house.broker, store_results=True, **QUICK)
    def recovers() -> int:
        starts.append(1)
        if len(starts) < 3:
            raise ValueError("not yet")
        return len(starts)

    with at_work(house):
        assert recovers.send().get_result(backend=backend, **WAIT) == 3


# Pipelines and groups.


def test_a_pipeline_passes_values_on(house: House, client: Any) -> None:
    store_results(house, client)
    double, add = doubler(house, store_results=True), adder(house, store_results=True)
    pipe = dramatiq.pipeline([double.message(5), add.message(100), double.message()], broker=house.broker)
    with at_work(house):
        pipe.run()
        assert pipe.get_result(**WAIT) == 220
        assert list(pipe.get_results()) == [10, 110, 220]


def test_a_step_may_ignore_the_value_before_it_and_wait(house: House) -> None:
    seen: list[tuple[int, ...]] = []

    @dramatiq.actor(broker=house.broker)
    def record(*numbers: int) -> int:
        seen.append(numbers)
        return len(seen)

    first, second = record.message(7), record.message_with_options(args=(8,), pipe_ignore=True, delay=20)
    dramatiq.pipeline([first, second, record.message()], broker=house.broker).run(delay=5)
    work_off(house)
    assert seen == [(7,), (8,), (2,)]


def test_a_pipeline_stops_where_a_step_is_dead(house: House) -> None:
    seen: list[int] = []

    @dramatiq.actor(broker=house.broker, max_retries=1, **QUICK)
    def fails(number: int) -> None:
        raise ValueError("no luck")

    @dramatiq.actor(broker=house.broker)
    def record(number: int = 0) -> None:
        seen.append(number)

    dramatiq.pipeline([fails.message(1), record.message()], broker=house.broker).run()
    work_off(house)
    assert seen == []
    assert [dead["actor_name"] for dead in house.dead()] == ["fails"]


def test_a_step_that_recovers_goes_on_once(house: House) -> None:
    starts: list[int] = []
    seen: list[int] = []

    @dramatiq.actor(broker=house.broker, max_retries=5, **QUICK)
    def recovers() -> int:
        starts.append(1)
        if len(starts) < 3:
            raise ValueError("not yet")
        return len(starts)

    @dramatiq.actor(broker=house.broker)
    def record(number: int = 0) -> None:
        seen.append(number)

    dramatiq.pipeline([recovers.message(), record.message()], broker=house.broker).run()
    work_off(house)
    assert seen == [3]


def test_a_group_can_be_waited_for(house: House, client: Any) -> None:
    store_results(house, client)
    double = doubler(house, store_results=True)
    with at_work(house):
        group = dramatiq.group([double.message(number) for number in range(5)], broker=house.broker).run()
        group.wait(timeout=WAIT["timeout"])
        assert list(group.get_results()) == [0, 2, 4, 6, 8]


def test_a_group_tells_when_all_of_it_is_completed(house: House, limits: LimiterBackend) -> None:
    house.broker.add_middleware(GroupCallbacks(limits))
    log: list[str] = []
    starts: list[int] = []

    @dramatiq.actor(broker=house.broker, max_retries=3, **QUICK)
    def member(number: int) -> int:
        starts.append(number)
        if starts.count(number) <= number:
            raise ValueError("not yet")
        log.append("member")
        return number

    @dramatiq.actor(broker=house.broker)
    def completed(which: str) -> None:
        log.append(which)

    piped = dramatiq.pipeline([member.message(0), member.message_with_options(args=(1,), pipe_ignore=True)])
    group = dramatiq.group([member.message(2), piped, member.message(0)], broker=house.broker)
    piped.broker = house.broker
    group.add_completion_callback(completed.message("completed"))
    group.run()
    work_off(house)
    assert log == [*4 * ["member"], "completed"]


# Callbacks.


def test_callbacks_are_told_of_success_and_of_every_failure(house: House) -> None:
    told: list[tuple[str, Said, Any]] = []

    @dramatiq.actor(broker=house.broker)
    def succeeded(message: Said, result: Any) -> None:
        told.append(("succeeded", message, result))

    @dramatiq.actor(broker=house.broker)
    def failed(message: Said, error: Said) -> None:
        told.append(("failed", message, error))

    starts: list[int] = []

    @dramatiq.actor(broker=house.broker, on_success="succeeded", on_failure="failed", min_backoff=30)
    def recovers(word: str) -> str:
        starts.append(1)
        if len(starts) < 3:
            raise ValueError(f"failure {len(starts)}")
        return word.upper()

    sent = recovers.send_with_options(args=("x",), max_backoff=60)
    work_off(house)
    assert [(what, said) for what, _, said in told] == [
        ("failed", {"type": "ValueError", "message": "failure 1"}),
        ("failed", {"type": "ValueError", "message": "failure 2"}),
        ("succeeded", "X"),
    ]
    assert all(message["message_id"] == sent.message_id for _, message, _ in told)
    assert [message["options"]["retries"] for _, message, _ in told] == [1, 2, 2]


def test_a_callback_of_a_message_that_is_dead_is_sent_as_well(house: House) -> None:
    told: list[Said] = []

    @dramatiq.actor(broker=house.broker)
    def failed(message: Said, error: Said) -> None:
        told.append(error)

    @dramatiq.actor(broker=house.broker, max_retries=0)
    def fails() -> None:
        raise ValueError("no luck")

    fails.send_with_options(on_failure=failed)
    work_off(house)
    assert told == [{"type": "ValueError", "message": "no luck"}]
    assert len(house.dead()) == 1
