"""Limits: no more of an actor's deliveries leased at once than it says, in every mailbox."""

import pytest

from callboard.actors.mailbox.infos import MOST_LISTED, Holder, LaneInfo
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.actors.mailbox.suspects import MAX_CRASHES
from callboard.messages.delivery import Delivery, Outcome
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEAD,
    DEADLINE,
    DISCARDED,
    DUPLICATE,
    LONG,
    RELEASED,
    SUCCEEDED,
    WORKER,
    Stage,
    ids,
    name_of,
    posting,
    retried,
    settlement,
    target,
)


def limit(stage: Stage, concurrency: int | None, *, actor: str = "receipt", queue: str = "orders") -> None:
    """Register an actor with a limit, or with none."""
    stage.mailbox.register([Subscription(actor, queue, {"order.placed": 1000}, concurrency=concurrency)])


def publish(stage: Stage, *keys: str, actor: str = "receipt") -> None:
    """One accepted delivery of the actor for each key."""
    stage.publish(*(posting(target(key, actor=actor)) for key in keys))


def leased(stage: Stage, concurrency: int, *keys: str) -> list[Delivery]:
    """As many as a limit lets through, of more."""
    limit(stage, concurrency)
    publish(stage, *keys)
    return stage.fetch().deliveries


def test_no_more_are_handed_out_than_the_limit_says(stage: Stage) -> None:
    limit(stage, 2)
    publish(stage, "1", "2", "3", "4")
    fetched = stage.fetch()
    assert (ids(fetched.deliveries), fetched.waiting) == (["receipt:1", "receipt:2"], 0)
    assert stage.fetch(owner="worker-2").deliveries == []
    queue = stage.queue()
    assert (queue.ready, queue.waiting, queue.leased) == (0, 2, 2)


def test_other_actors_of_the_queue_are_not_held_up(stage: Stage) -> None:
    limit(stage, 1)
    stage.publish(posting(target("1")), posting(target("2"), target("2", actor="audit")))
    assert ids(stage.fetch(2).deliveries) == ["receipt:1", "audit:2"]


@pytest.mark.parametrize("outcome", [SUCCEEDED, DUPLICATE, DEAD, DISCARDED, retried(LONG)], ids=name_of)
def test_whatever_is_settled_lets_the_next_one_in(stage: Stage, outcome: Outcome) -> None:
    first, _ = leased(stage, 2, "1", "2", "3", "4")
    assert stage.settle(settlement(first, outcome)) == [True]
    assert ids(stage.fetch().deliveries) == ["receipt:3"]
    assert stage.queue().waiting == 1


def test_a_free_slot_wakes_who_waits_for_it(stage: Stage) -> None:
    limit(stage, 1)
    publish(stage, "1", "2")
    assert stage.mailbox.wait("orders", DEADLINE)
    (first,) = stage.fetch().deliveries
    assert not stage.mailbox.wait("orders", 0.05)
    stage.settle(settlement(first))
    assert stage.mailbox.wait("orders", DEADLINE)
    assert stage.take().attempt == 1


def test_a_retry_at_once_goes_behind_those_that_wait(stage: Stage) -> None:
    (first,) = leased(stage, 1, "1", "2")
    stage.settle(settlement(first, retried()))
    second = stage.take()
    assert second.key == "2"
    stage.settle(settlement(second))
    assert stage.take().attempt == 2


def test_a_retry_that_is_due_takes_a_slot_again(stage: Stage) -> None:
    (first,) = leased(stage, 1, "1", "2")
    stage.settle(settlement(first, retried(BRIEF)))
    second = stage.take()
    stage.let_pass(BRIEF)
    assert stage.fetch().deliveries == []
    assert stage.queue().waiting == 1
    stage.settle(settlement(second))
    assert stage.take().key == "1"


def test_released_goes_before_those_that_wait(stage: Stage) -> None:
    (first,) = leased(stage, 1, "1", "2")
    stage.settle(settlement(first, RELEASED))
    again = stage.take()
    assert (again.key, again.attempt) == ("1", 1)
    assert stage.fetch().deliveries == []


def test_a_suspect_keeps_its_slot_until_it_was_run_alone(stage: Stage) -> None:
    limit(stage, 1)
    publish(stage, "1", "2")
    stage.lose()
    assert (stage.fetch().deliveries, stage.fetch().suspects) == ([], 1)
    alone = stage.take(alone=True)
    assert stage.fetch().deliveries == []
    stage.settle(settlement(alone))
    assert stage.take().key == "2"


def test_a_suspect_from_before_the_limit_takes_a_slot_when_it_is_run(stage: Stage) -> None:
    publish(stage, "1")
    stage.lose()
    limit(stage, 1)
    alone = stage.take(alone=True)
    publish(stage, "2")
    assert stage.fetch().deliveries == []
    stage.settle(settlement(alone))
    assert stage.take().key == "2"


def test_poison_frees_its_slot(stage: Stage) -> None:
    limit(stage, 1)
    publish(stage, "bad", "2")
    stage.lose()
    for _ in range(MAX_CRASHES):
        stage.lose(alone=True)
    assert stage.take().key == "2"


@pytest.mark.parametrize("outcome", [SUCCEEDED, DEAD, RELEASED, retried()], ids=name_of)
def test_a_settlement_sent_twice_frees_one_slot_once(stage: Stage, outcome: Outcome) -> None:
    first, _ = leased(stage, 2, "1", "2", "3", "4", "5")
    once = settlement(first, outcome)
    assert stage.settle(once, once) == [True, True]
    assert stage.settle(once) == [True]
    assert len(stage.fetch().deliveries) == 1
    # Whoever has the slot now keeps it when the settlement comes once more.
    stage.settle(once)
    assert stage.fetch().deliveries == []


def test_a_late_settlement_frees_no_slot_of_another(stage: Stage) -> None:
    limit(stage, 1)
    publish(stage, "1", "2", "3")
    (late,) = stage.lose()
    stage.settle(settlement(stage.take(alone=True)))
    second = stage.take()
    stage.settle(settlement(late))
    assert stage.fetch().deliveries == []
    assert stage.settle(settlement(second)) == [True]


def test_a_higher_limit_lets_more_in_at_once(stage: Stage) -> None:
    limit(stage, 1)
    publish(stage, "1", "2", "3", "4")
    assert stage.mailbox.wait("orders", DEADLINE)
    stage.fetch()
    limit(stage, 3)
    assert stage.mailbox.wait("orders", DEADLINE)
    assert ids(stage.fetch().deliveries) == ["receipt:2", "receipt:3"]


def test_a_lower_limit_takes_nothing_back_and_lets_in_less(stage: Stage) -> None:
    first, second, third = leased(stage, 3, "1", "2", "3", "4", "5")
    limit(stage, 1)
    stage.settle(settlement(first), settlement(second))
    assert stage.fetch().deliveries == []
    stage.settle(settlement(third))
    assert len(stage.fetch().deliveries) == 1


def test_without_a_limit_all_that_waited_is_handed_out(stage: Stage) -> None:
    leased(stage, 1, "1", "2", "3", "4")
    limit(stage, None)
    fetched = stage.fetch(2)
    assert (ids(fetched.deliveries), fetched.waiting) == (["receipt:2", "receipt:3"], 1)
    assert ids(stage.fetch().deliveries) == ["receipt:4"]
    stage.fetch()
    assert (stage.queue().waiting, stage.queue().lanes) == (0, ())


def test_a_limit_set_again_counts_anew(stage: Stage) -> None:
    leased(stage, 1, "1", "2")
    limit(stage, None)
    limit(stage, 1)
    assert ids(stage.fetch().deliveries) == ["receipt:2"]


def test_an_actor_that_moves_leaves_no_limit_behind(stage: Stage) -> None:
    leased(stage, 1, "1", "2", "3")
    limit(stage, 1, queue="slow")
    assert ids(stage.fetch().deliveries) == ["receipt:2", "receipt:3"]


def test_a_limit_holds_for_what_was_published_before_it(stage: Stage) -> None:
    publish(stage, "1", "2", "3")
    limit(stage, 1)
    assert ids(stage.fetch().deliveries) == ["receipt:1"]


def test_the_actor_that_has_least_goes_first(stage: Stage) -> None:
    for actor in ("audit", "receipt"):
        limit(stage, 2, actor=actor)
        publish(stage, *(str(number) for number in range(5)), actor=actor)
    taken = stage.fetch().deliveries
    assert len(taken) == 4
    stage.settle(*(settlement(each) for each in taken[1:]))
    assert [each.actor for each in stage.fetch(2).deliveries] == ["receipt", "receipt"]


def test_a_lane_and_a_limit_work_together(stage: Stage) -> None:
    limit(stage, 1)
    stage.publish(*(posting(target(f"{lane}{n}", lane=f"receipt:{lane}")) for n in (1, 2) for lane in "ab"))
    order = []
    while deliveries := stage.fetch().deliveries:
        (delivery,) = deliveries
        order.append(delivery.key)
        stage.settle(settlement(delivery))
    assert sorted(order) == ["a1", "a2", "b1", "b2"]
    assert order.index("a1") < order.index("a2")
    assert order.index("b1") < order.index("b2")
    assert stage.queue().waiting == 0


def test_what_waits_for_a_slot_holds_its_lane(stage: Stage) -> None:
    limit(stage, 1)
    stage.publish(*(posting(target(key, lane=f"receipt:{key[0]}")) for key in ("a1", "b1", "b2")))
    first = stage.take()
    stage.fetch()
    waiting = {lane.lane: (lane.waiting, lane.held) for lane in stage.queue().lanes}
    assert waiting == {"receipt": (1, 1), "receipt:a": (0, 1), "receipt:b": (1, 1)}
    stage.settle(settlement(first))
    assert stage.take().key == "b1"
    holders = {lane.lane: lane.holders for lane in stage.queue().lanes}
    assert holders["receipt:b"] == holders["receipt"] == (Holder("receipt:b1", WORKER),)


def test_a_purge_empties_the_line_and_leaves_slots_to_what_is_leased(stage: Stage) -> None:
    leased(stage, 2, "1", "2", "3", "4")
    publish(stage, "5")
    assert stage.mailbox.purge("orders") == 3
    publish(stage, "6")
    assert stage.fetch().deliveries == []
    assert (stage.queue().waiting, stage.queue().leased) == (1, 2)


def test_a_purged_suspect_frees_its_slot(stage: Stage) -> None:
    limit(stage, 1)
    publish(stage, "1")
    stage.lose()
    stage.fetch()
    assert stage.mailbox.purge("orders") == 1
    publish(stage, "2")
    assert stage.take().key == "2"


def test_info_tells_who_has_the_slots_of_an_actor(stage: Stage) -> None:
    leased(stage, 2, "1", "2", "3")
    holders = (Holder("receipt:1", WORKER), Holder("receipt:2", WORKER))
    assert stage.queue().lanes == (LaneInfo("receipt", False, 2, 1, 2, holders),)


def test_info_lists_some_of_many_holders(stage: Stage) -> None:
    leased(stage, 50, *(str(number) for number in range(60)))
    (lane,) = stage.queue().lanes
    assert (lane.held, lane.waiting, len(lane.holders)) == (50, 10, MOST_LISTED)
