"""What every mailbox answers when a settlement comes twice, or one outcome after another."""

import pytest

from callboard.messages.delivery import (
    Outcome,
)
from tests.actors.mailbox.conformance import (
    OUTCOMES,
    RELEASED,
    SUCCEEDED,
    Stage,
    name_of,
    posting,
    retried,
    settlement,
    target,
)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("outcome", OUTCOMES, ids=name_of)
def test_the_same_settlement_again_changes_nothing(stage: Stage, outcome: Outcome, alone: bool) -> None:
    stage.publish()
    if alone:
        stage.lose()
    once = settlement(stage.take(alone=alone), outcome)
    assert stage.settle(once) == [True]
    before, records = stage.queue(), stage.mailbox.ended("orders")
    assert stage.settle(once) == [True]
    assert stage.settle(once, once) == [True, True]
    assert stage.queue() == before
    assert stage.mailbox.ended("orders") == records


@pytest.mark.parametrize("outcome", OUTCOMES, ids=name_of)
def test_the_same_settlement_twice_in_one_call_counts_once(stage: Stage, outcome: Outcome) -> None:
    stage.publish()
    once = settlement(stage.take(), outcome)
    assert stage.settle(once, once) == [True, True]
    queue = stage.queue()
    assert queue.ended + queue.released + queue.retried == 1
    assert queue.fenced == 0


@pytest.mark.parametrize("outcome", [RELEASED, retried()], ids=name_of)
def test_a_repeated_settlement_leaves_the_next_attempt_alone(stage: Stage, outcome: Outcome) -> None:
    stage.publish()
    once = settlement(stage.take(), outcome)
    stage.settle(once)
    current = stage.take()
    before = stage.queue()
    stage.settle(once)
    after = stage.queue()
    assert (after.leased, after.ready, after.retried) == (1, 0, before.retried)
    assert stage.settle(settlement(current)) == [True]


@pytest.mark.parametrize("first", OUTCOMES, ids=name_of)
@pytest.mark.parametrize("second", OUTCOMES, ids=name_of)
def test_the_first_of_two_settlements_of_a_delivery_wins(
    stage: Stage, first: Outcome, second: Outcome
) -> None:
    stage.publish()
    delivery = stage.take()
    held = stage.settle(settlement(delivery, first), settlement(delivery, second))
    queue = stage.queue()
    assert held[0]
    assert getattr(queue, first.kind.value) == 1
    assert queue.ended + queue.retried + queue.released == 1


def test_a_success_repeated_publishes_once(stage: Stage) -> None:
    stage.publish()
    once = settlement(stage.take(), SUCCEEDED, posting(target("B-1", actor="stock")))
    assert stage.settle(once, once) == [True, True]
    assert stage.settle(once) == [True]
    queue = stage.queue()
    assert (queue.accepted, queue.ready, queue.duplicates) == (2, 1, 0)


def test_a_success_that_comes_too_late_publishes_nothing(stage: Stage) -> None:
    stage.publish()
    (late,) = stage.lose()
    stage.take(alone=True)
    assert stage.settle(settlement(late, SUCCEEDED, posting(target("B-1", actor="stock")))) == [False]
    assert stage.queue().accepted == 1
