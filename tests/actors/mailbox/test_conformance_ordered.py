"""Ordered lanes: one delivery at a time and in the order of publishing, in every mailbox."""

from itertools import pairwise

import pytest

from callboard.actors.mailbox.infos import MOST_LISTED, Holder, LaneInfo
from callboard.actors.mailbox.mailbox import Verdict
from callboard.actors.mailbox.suspects import MAX_CRASHES
from callboard.messages.delivery import Outcome
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

LANE = "receipt:A"
FINAL = [SUCCEEDED, DUPLICATE, DEAD, DISCARDED]


def publish(stage: Stage, *keys: str, lane: str = LANE) -> None:
    """One accepted delivery of the lane for each key."""
    stage.publish(*(posting(target(key, lane=lane)) for key in keys))


def ended_in_turn(stage: Stage) -> list[str]:
    """Fetch and settle until nothing is left; the keys in their order."""
    keys: list[str] = []
    while deliveries := stage.fetch().deliveries:
        keys += [delivery.key for delivery in deliveries]
        assert all(stage.settle(*(settlement(delivery) for delivery in deliveries)))
    return keys


def test_one_delivery_of_a_lane_is_handed_out_at_a_time(stage: Stage) -> None:
    publish(stage, "1", "2", "3")
    fetched = stage.fetch()
    assert (ids(fetched.deliveries), fetched.waiting) == (["receipt:1"], 0)
    assert stage.fetch(owner="worker-2").deliveries == []
    queue = stage.queue()
    assert (queue.ready, queue.waiting, queue.leased) == (0, 2, 1)


@pytest.mark.parametrize("outcome", FINAL, ids=name_of)
def test_whatever_ends_a_delivery_lets_the_next_one_in(stage: Stage, outcome: Outcome) -> None:
    publish(stage, "1", "2", "3")
    for key in ("1", "2", "3"):
        delivery = stage.take()
        assert delivery.key == key
        stage.settle(settlement(delivery, outcome))
    assert (stage.queue().waiting, stage.queue().lanes) == (0, ())


def test_a_lane_keeps_the_order_of_publishing(stage: Stage) -> None:
    keys = [str(number) for number in range(20)]
    publish(stage, *keys[:10])
    first = stage.take()
    publish(stage, *keys[10:])
    stage.settle(settlement(first))
    assert ended_in_turn(stage) == keys[1:]


def test_the_next_of_a_lane_goes_before_what_is_ready_and_holds_it_at_once(stage: Stage) -> None:
    publish(stage, "1", "2", "3")
    (first,) = stage.fetch().deliveries
    stage.publish_keys("free")
    stage.settle(settlement(first))
    assert stage.queue().lanes == (LaneInfo(LANE, True, 1, 1, 1, (Holder("receipt:2"),)),)
    assert ids(stage.fetch(1).deliveries) == ["receipt:2"]


def test_lanes_do_not_hold_each_other_up(stage: Stage) -> None:
    stage.publish(
        posting(target("a1", lane="receipt:a"), target("free")),
        posting(target("a2", lane="receipt:a"), target("b1", lane="receipt:b")),
    )
    assert ids(stage.fetch().deliveries) == ["receipt:a1", "receipt:free", "receipt:b1"]


def test_a_fetch_looks_behind_what_must_wait(stage: Stage) -> None:
    publish(stage, *(str(number) for number in range(1200)))
    publish(stage, "other", lane="receipt:B")
    assert ids(stage.fetch(2).deliveries) == ["receipt:0", "receipt:other"]
    assert stage.queue().waiting == 1199


@pytest.mark.parametrize("outcome", [RELEASED, retried(), retried(BRIEF), retried(LONG)], ids=name_of)
def test_what_has_not_ended_holds_its_lane(stage: Stage, outcome: Outcome) -> None:
    publish(stage, "1", "2")
    stage.settle(settlement(stage.take(), outcome))
    if outcome.delay_ms == LONG:
        assert stage.fetch().deliveries == []
        return
    again = stage.take_when_due()
    assert again.key == "1"
    assert stage.fetch().deliveries == []
    stage.settle(settlement(again))
    assert stage.take().key == "2"


def test_waiting_in_a_lane_is_not_charged_and_wants_no_look(stage: Stage) -> None:
    publish(stage, "1", "2")
    assert stage.mailbox.wait("orders", DEADLINE)
    fetched = stage.fetch()
    assert (fetched.waiting, fetched.suspects) == (0, 0)
    assert not stage.mailbox.wait("orders", 0.05)
    stage.settle(settlement(fetched.deliveries[0]))
    assert stage.mailbox.wait("orders", DEADLINE)
    assert stage.take().attempt == 1


def test_a_lost_holder_is_run_alone_before_its_lane_goes_on(stage: Stage) -> None:
    publish(stage, "1", "2")
    stage.lose()
    fetched = stage.fetch()
    assert (fetched.deliveries, fetched.suspects) == ([], 1)
    alone = stage.take(alone=True)
    assert alone.key == "1"
    assert stage.fetch().deliveries == []
    stage.settle(settlement(alone))
    assert stage.take().key == "2"


def test_poison_frees_its_lane(stage: Stage) -> None:
    publish(stage, "bad", "2")
    stage.lose()
    for _ in range(MAX_CRASHES):
        stage.lose(alone=True)
    assert stage.take().key == "2"


def test_a_late_settlement_frees_no_lane_of_another(stage: Stage) -> None:
    publish(stage, "1", "2", "3")
    (late,) = stage.lose()
    current = stage.take(alone=True)
    assert stage.settle(settlement(late)) == [False]
    assert stage.fetch().deliveries == []
    stage.settle(settlement(current))
    second = stage.take()
    assert stage.settle(settlement(late), settlement(current)) == [False, True]
    assert stage.fetch().deliveries == []
    assert stage.settle(settlement(second)) == [True]
    assert stage.take().key == "3"


@pytest.mark.parametrize("outcome", FINAL, ids=name_of)
def test_a_settlement_sent_twice_frees_one_lane_once(stage: Stage, outcome: Outcome) -> None:
    publish(stage, "1", "2", "3")
    once = settlement(stage.take(), outcome)
    assert stage.settle(once, once) == [True, True]
    assert stage.settle(once) == [True]
    assert ids(stage.fetch().deliveries) == ["receipt:2"]
    assert stage.queue().waiting == 1


def test_a_delayed_event_joins_its_lane_when_it_is_due(stage: Stage) -> None:
    stage.publish(posting(target("later", lane=LANE), delay_ms=BRIEF), posting(target("1", lane=LANE)))
    first = stage.take()
    assert first.key == "1"
    publish(stage, "2")
    stage.let_pass(BRIEF)
    assert stage.fetch().deliveries == []
    stage.settle(settlement(first))
    assert ended_in_turn(stage) == ["2", "later"]


def test_what_a_handler_publishes_joins_its_lane(stage: Stage) -> None:
    publish(stage, "1", "2")
    own = posting(target("3", lane=LANE))
    stage.settle(settlement(stage.take(), SUCCEEDED, own))
    assert ended_in_turn(stage) == ["2", "3"]


def test_a_key_published_again_after_its_end_goes_to_the_end_of_its_lane(stage: Stage) -> None:
    publish(stage, "1", "2")
    stage.settle(settlement(stage.take(), DEAD))
    publish(stage, "1")
    assert ended_in_turn(stage) == ["2", "1"]


def test_a_duplicate_changes_no_lane(stage: Stage) -> None:
    publish(stage, "1", "2")
    assert stage.publish(posting(target("2", lane="receipt:B"))) == [[Verdict.DUPLICATE]]
    assert ended_in_turn(stage) == ["1", "2"]


def test_a_group_of_many_lanes_goes_on_together(stage: Stage) -> None:
    for round_ in range(3):
        stage.publish(*(posting(target(f"{lane}.{round_}", lane=f"receipt:{lane}")) for lane in range(50)))
    rounds = []
    while deliveries := stage.fetch().deliveries:
        rounds.append({delivery.key for delivery in deliveries})
        stage.settle(*(settlement(delivery) for delivery in deliveries))
    assert rounds == [{f"{lane}.{round_}" for lane in range(50)} for round_ in range(3)]


def test_random_keys_keep_their_order_whatever_becomes_of_them(stage: Stage) -> None:
    of_key = [(number * 7919) % 13 for number in range(300)]
    stage.publish(
        *(posting(target(f"{key}/{number}", lane=f"receipt:{key}")) for number, key in enumerate(of_key))
    )
    ended: list[str] = []
    for _ in stage.patience():
        deliveries = stage.fetch(40).deliveries
        if not deliveries:
            break
        all_kinds = (SUCCEEDED, retried(), RELEASED, DEAD)
        pairs = [(each, all_kinds[(int(each.key.partition("/")[2]) + each.fence) % 4]) for each in deliveries]
        stage.settle(*(settlement(each, outcome) for each, outcome in pairs))
        ended += [each.key for each, outcome in pairs if outcome in (SUCCEEDED, DEAD)]
    assert len(ended) == len(of_key)
    for key in set(of_key):
        mine = [int(each.partition("/")[2]) for each in ended if each.startswith(f"{key}/")]
        assert all(one < other for one, other in pairwise(mine))


def test_a_purge_empties_lanes_and_leaves_the_holder_its_own(stage: Stage) -> None:
    publish(stage, "1", "2", "3")
    publish(stage, "b1", "b2", lane="receipt:B")
    held = stage.take()
    stage.settle(settlement(stage.take(), retried(LONG)))
    publish(stage, "4")
    assert stage.mailbox.purge("orders") == 5
    assert (stage.queue().waiting, stage.queue().live) == (0, 1)
    publish(stage, "5")
    publish(stage, "b3", lane="receipt:B")
    assert stage.take().key == "b3"
    stage.settle(settlement(held))
    assert stage.take().key == "5"


def test_a_purge_of_more_than_one_slice_takes_all(stage: Stage) -> None:
    publish(stage, *(str(number) for number in range(1500)))
    publish(stage, *(f"b{number}" for number in range(600)), lane="receipt:B")
    first, second = stage.fetch(2).deliveries
    assert stage.mailbox.purge("orders") == 2098
    assert stage.queue().waiting == 0
    assert stage.settle(settlement(first), settlement(second)) == [True, True]
    assert (stage.queue().live, stage.queue().lanes) == (0, ())


def test_a_purge_of_thousands_of_lanes_takes_all(stage: Stage) -> None:
    for turn in range(2):
        stage.mailbox.publish([posting(target(f"{turn}.{n}", lane=f"receipt:{n}")) for n in range(2500)])
    assert sum(len(stage.fetch(2000).deliveries) for _ in range(3)) == 2500
    assert stage.mailbox.purge("orders") == 2500
    assert (stage.queue().waiting, stage.queue().leased) == (0, 2500)


def test_info_tells_who_runs_a_holder_alone(stage: Stage) -> None:
    publish(stage, "1")
    stage.lose()
    stage.fetch()
    assert stage.queue().lanes[0].holders == (Holder("receipt:1"),)
    stage.take(alone=True)
    assert stage.queue().lanes[0].holders == (Holder("receipt:1", WORKER),)


def test_info_tells_who_holds_a_lane_and_how_many_wait(stage: Stage) -> None:
    publish(stage, "1", "2", "3")
    publish(stage, "b1", lane="receipt:B")
    a, b = stage.fetch().deliveries
    assert stage.queue().lanes == (
        LaneInfo(LANE, True, 1, 2, 1, (Holder("receipt:1", WORKER),)),
        LaneInfo("receipt:B", True, 1, 0, 1, (Holder("receipt:b1", WORKER),)),
    )
    stage.settle(settlement(a, retried(LONG)), settlement(b))
    assert stage.queue().lanes == (LaneInfo(LANE, True, 1, 2, 1, (Holder("receipt:1"),)),)


def test_info_lists_the_fullest_lanes(stage: Stage) -> None:
    for lane in range(MOST_LISTED + 5):
        publish(stage, *(f"{lane}.{number}" for number in range(lane + 1)), lane=f"receipt:{lane}")
    stage.fetch()
    lanes = stage.queue().lanes
    assert [lane.waiting for lane in lanes] == list(range(MOST_LISTED + 4, 4, -1))


def test_a_lane_of_one_queue_is_none_of_another(stage: Stage) -> None:
    stage.publish(
        posting(target("1", lane="x"), target("2", queue="orders:x", lane="x")),
        posting(target("3", lane="x:x"), target("4", queue="orders:x", lane="x")),
    )
    assert ids(stage.fetch().deliveries) == ["receipt:1", "receipt:3"]
    assert ids(stage.fetch(queue="orders:x").deliveries) == ["receipt:2"]
