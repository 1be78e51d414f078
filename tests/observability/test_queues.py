"""Queues by names that nobody declared make no more series than there may be."""

from callboard.observability.metrics import OTHER
from callboard.observability.queues import Queues
from callboard.observability.state import QueueState


def test_few_are_told_as_they_are() -> None:
    queues = (QueueState("b", ready=1), QueueState("a", dead=2))
    assert Queues(2).told_apart(queues) == queues


def test_of_too_many_those_with_workers_are_told_apart_and_the_rest_is_one() -> None:
    hostile = [
        QueueState(f'evil"{number:06}\n', ready=number, oldest_ready_ms=number, discarded=1)
        for number in range(100_000)
    ]
    worked = QueueState("zebras", ready=7, workers=2)
    told = Queues(3).told_apart([*hostile, worked])
    assert [each.queue for each in told] == ["zebras", 'evil"000000\n', 'evil"000001\n', OTHER]
    assert told[0] == worked
    assert told[-1].ready == sum(range(2, 100_000))
    assert (told[-1].oldest_ready_ms, told[-1].discarded, told[-1].workers) == (99_999, 99_998, 0)


def test_names_that_come_and_go_do_not_take_the_place_of_those_that_were_there() -> None:
    queues = Queues(2)
    known = [QueueState("orders"), QueueState("receipts")]
    queues.told_apart(known)
    for number in range(10):
        told = queues.told_apart([QueueState(f"a{number}"), *known])
        assert [each.queue for each in told] == ["orders", "receipts", OTHER]
    told = queues.told_apart([*known, QueueState("shipping", workers=1)])
    assert [each.queue for each in told] == ["shipping", "orders", OTHER]
