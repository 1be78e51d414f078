"""Ages, time limits, delays, priorities and shutdown mean what they mean on the brokers of dramatiq."""

import threading
import time
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import Middleware, TimeLimit, TimeLimitExceeded
from dramatiq.middleware.shutdown import Shutdown

from tests.actors.houses import House, StubHouse, at_work, keep_diary, work_off
from tests.actors.rehearsal import DEADLINE, until


def replace_middleware(house: House, middleware: Middleware) -> None:
    """Put a middleware in the place of the one of its kind."""
    kinds = [type(each) for each in house.broker.middleware]
    house.broker.middleware[kinds.index(type(middleware))] = middleware


def spin(seconds: float = DEADLINE) -> None:
    """Be busy in Python, where an exception from another thread can land."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(0.001)


def test_a_message_that_is_too_old_is_dead_and_not_run(house: House) -> None:
    seen: list[str] = []

    @dramatiq.actor(broker=house.broker, max_age=60_000)
    def record(which: str) -> None:
        seen.append(which)

    message: dramatiq.Message[Any] = record.message("old")
    house.broker.enqueue(message._replace(message_timestamp=message.message_timestamp - 120_000))
    record.send("new")
    work_off(house)
    assert seen == ["new"]
    assert [dead["args"] for dead in house.dead()] == [["old"]]


def test_a_delay_counts_as_age_and_a_message_may_say_its_own_limit(house: House) -> None:
    seen: list[str] = []

    @dramatiq.actor(broker=house.broker, max_age=60_000)
    def record(which: str) -> None:
        seen.append(which)

    record.send_with_options(args=("late",), delay=30, max_age=20)
    work_off(house)
    assert seen == []
    assert len(house.dead()) == 1


def test_an_actor_past_its_time_limit_is_interrupted_and_tried_again(house: House) -> None:
    replace_middleware(house, TimeLimit(interval=5))
    interrupted: list[float] = []

    @dramatiq.actor(broker=house.broker, time_limit=50, max_retries=1, min_backoff=1, max_backoff=2)
    def spins() -> None:
        began = time.monotonic()
        try:
            spin()
        except TimeLimitExceeded:
            interrupted.append(time.monotonic() - began)
            raise

    house.broker.emit_after("process_boot")
    spins.send()
    work_off(house)
    assert len(interrupted) == 2
    assert all(0.045 < seconds < DEADLINE / 2 for seconds in interrupted)
    assert len(house.dead()) == 1


def test_a_worker_that_stops_interrupts_actors_that_ask_for_it_and_their_messages_are_tried_again(
    house: House,
) -> None:
    started = threading.Event()
    seen: list[str] = []

    @dramatiq.actor(broker=house.broker, notify_shutdown=True, min_backoff=1, max_backoff=2)
    def works() -> None:
        if started.is_set():
            seen.append("again")
            return
        started.set()
        try:
            spin()
        except Shutdown:
            seen.append("interrupted")
            raise

    works.send()
    with at_work(house):
        assert started.wait(DEADLINE)
    assert seen[:1] == ["interrupted"]
    if isinstance(house, StubHouse):
        return  # its worker takes what is delayed along when it stops
    work_off(house)
    assert (seen, house.dead()) == (["interrupted", "again"], [])


def test_an_actor_that_does_not_ask_for_it_finishes_when_the_worker_stops(house: House) -> None:
    started = threading.Event()
    seen: list[str] = []

    @dramatiq.actor(broker=house.broker)
    def works() -> None:
        started.set()
        spin(0.1)
        seen.append("finished")

    works.send()
    with at_work(house):
        assert started.wait(DEADLINE)
    assert (seen, house.is_empty()) == (["finished"], True)


@pytest.mark.parametrize("delay", [40, timedelta(milliseconds=40)])
def test_what_is_delayed_runs_when_it_is_due(house: House, delay: int | timedelta) -> None:
    diary = keep_diary(house)

    @dramatiq.actor(broker=house.broker)
    def record() -> None: ...

    began = time.monotonic()
    record.send_with_options(delay=delay)
    work_off(house)
    assert diary.delays == [40]
    assert 1000 * (diary.began[0] - began) > 38
    assert "eta" not in diary.options[0]


def test_what_is_sent_with_a_delay_tells_when_it_is_due(house: House) -> None:
    @dramatiq.actor(broker=house.broker)
    def record() -> None: ...

    now = int(time.time() * 1000)
    sent = record.send_with_options(delay=60_000)
    assert 0 <= sent.options["eta"] - now - 60_000 < DEADLINE * 1000
    assert "eta" not in record.send().options


def test_an_eta_without_a_delay_is_kept(house: House) -> None:
    diary = keep_diary(house)

    @dramatiq.actor(broker=house.broker)
    def record() -> None: ...

    due = int(time.time() * 1000) + 40
    record.send_with_options(eta=due)
    work_off(house)
    assert len(diary.began) == 1
    assert time.time() * 1000 >= due


def test_actors_with_the_lower_number_come_first_within_a_queue_and_over_queues(house: House) -> None:
    order: list[str] = []
    running, go = threading.Event(), threading.Event()

    @dramatiq.actor(broker=house.broker)
    def blocks() -> None:
        running.set()
        assert go.wait(DEADLINE)

    @dramatiq.actor(broker=house.broker, queue_name="other", priority=10)
    def later() -> None:
        order.append("later")

    @dramatiq.actor(broker=house.broker, queue_name="other", priority=5)
    def sooner() -> None:
        order.append("sooner")

    @dramatiq.actor(broker=house.broker, queue_name="third", priority=1)
    def first() -> None:
        order.append("first")

    with at_work(house, threads=1) as worker:
        blocks.send()
        assert running.wait(DEADLINE)
        for actor in (later, sooner, first):
            actor.send()
        until(lambda: worker.work_queue.qsize() == 3, "what the worker holds ahead")
        go.set()
        until(lambda: len(order) == 3, "all three")
    assert order == ["first", "sooner", "later"]
