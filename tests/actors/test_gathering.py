"""Batches grow until they are full or have waited long enough."""

from math import inf

import pytest

from callboard import Batch
from callboard.actors.gathering import Gatherer, Gathering
from callboard.messages.delivery import Delivery, ErrorRecord, History
from callboard.middleware.attempt import Policy
from callboard.middleware.batched import Batched
from callboard.middleware.deadline import Watch
from callboard.middleware.guarded import Handler
from callboard.middleware.signals import StuckTogether
from tests.middleware.attempts import attempt


def gatherer(batch: Batch, actor: str = "load", *, is_async: bool = False) -> Gatherer:
    handler = Handler(lambda _: None, Policy(actor, {}), is_async=is_async, is_batch=True)
    return Gatherer(Batched(handler, [], Watch()), batch)


def delivery(key: str, size: int = 100, *, alone: bool = False) -> Delivery:
    clock = attempt().delivery.clock
    return Delivery(f"load:{key}", "default", 1, b"x" * size, clock, alone=alone)


def keys(deliveries: tuple[Delivery, ...] | list[Delivery]) -> str:
    return "".join(each.key for each in deliveries)


def test_a_batch_is_due_when_its_first_one_has_waited() -> None:
    gathering, load = Gathering(), gatherer(Batch(wait="100ms"))
    assert gathering.due_in(1000) == inf
    assert gathering.add(delivery("a"), load, 1000) == []
    assert gathering.add(delivery("b"), load, 1090) == []
    assert (gathering.due_in(1090), len(gathering), keys(gathering.deliveries)) == (10, 2, "ab")
    assert gathering.take_due(1099) == []
    (batch,) = gathering.take_due(1100)
    assert (keys(batch.deliveries), batch.guarded) == ("ab", load.guarded)
    assert (len(gathering), gathering.take_due(9999)) == (0, [])


def test_a_batch_is_full_by_its_size() -> None:
    gathering, load = Gathering(), gatherer(Batch(size=2))
    batches = [batch for key in "abcde" for batch in gathering.add(delivery(key), load, 0)]
    assert [keys(batch.deliveries) for batch in batches] == ["ab", "cd"]
    assert keys(gathering.deliveries) == "e"


def test_a_batch_is_full_by_its_bytes_and_one_too_large_is_a_batch_by_itself() -> None:
    gathering, load = Gathering(), gatherer(Batch(max_bytes=250))
    sizes = {"a": 100, "b": 100, "c": 100, "d": 150, "e": 10, "f": 900, "g": 1}
    batches = [batch for key, size in sizes.items() for batch in gathering.add(delivery(key, size), load, 0)]
    assert [keys(batch.deliveries) for batch in batches] == ["ab", "cd", "e", "f"]
    assert keys(gathering.deliveries) == "g"


def test_what_runs_alone_is_a_batch_of_one() -> None:
    gathering, load = Gathering(), gatherer(Batch(wait="1m"))
    gathering.add(delivery("a"), load, 0)
    (batch,) = gathering.add(delivery("b", alone=True), load, 0)
    assert keys(batch.deliveries) == "b"
    stuck = delivery("c")
    stuck.history = History(last_error=ErrorRecord(StuckTogether.__name__, "", 0))
    (batch,) = gathering.add(stuck, load, 0)
    assert keys(batch.deliveries) == "c"
    assert keys(gathering.deliveries) == "a"


def test_each_actor_has_a_batch_of_its_own() -> None:
    gathering = Gathering()
    load, store = gatherer(Batch(size=2)), gatherer(Batch(size=2), "store")
    for each in (load, store):
        assert gathering.add(delivery("a"), each, 0) == []
    assert [batch.guarded for batch in gathering.add(delivery("b"), store, 0)] == [store.guarded]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_could_not_start_grows_on(is_async: bool) -> None:
    gathering, load = Gathering(), gatherer(Batch(wait="100ms"), is_async=is_async)
    gathering.add(delivery("a"), load, 0)
    assert gathering.take_due(200, on_threads=is_async, on_loop=not is_async) == []
    assert gathering.is_overdue(200)
    assert gathering.due_in(200) == inf
    gathering.add(delivery("b"), load, 250)
    (batch,) = gathering.take_due(300, on_threads=not is_async, on_loop=is_async)
    assert keys(batch.deliveries) == "ab"
    assert not gathering.is_overdue(300)


def test_all_of_it_can_be_taken_back_in_order() -> None:
    gathering, load = Gathering(), gatherer(Batch())
    for key in "abc":
        gathering.add(delivery(key), load, 0)
    assert keys(gathering.clear()) == "abc"
    assert (len(gathering), gathering.clear()) == (0, [])
