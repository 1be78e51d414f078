"""How every mailbox hands out deliveries, and takes them back from workers that were lost."""

import math
import time

import pytest

from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.suspects import MAX_CRASHES
from callboard.messages.delivery import NO_HISTORY, ErrorRecord, History, OutcomeKind, Reason
from tests.actors.mailbox.conformance import (
    BRIEF,
    LONG,
    RELEASED,
    Stage,
    charged,
    ids,
    posting,
    retried,
    settlement,
    target,
)


def test_an_empty_queue_hands_out_nothing_and_announces_nothing(stage: Stage) -> None:
    fetched = stage.fetch()
    assert fetched.deliveries == []
    assert (fetched.waiting, fetched.suspects, fetched.next_in_ms) == (0, 0, None)


def test_a_fetch_hands_out_no_more_than_asked_for_and_tells_what_is_left(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3")
    fetched = stage.fetch(2)
    assert ids(fetched.deliveries) == ["receipt:1", "receipt:2"]
    assert fetched.waiting == 1
    assert (stage.queue().ready, stage.queue().leased) == (1, 2)


def test_a_fetch_of_none_only_looks(stage: Stage) -> None:
    stage.publish_keys("1")
    fetched = stage.fetch(0)
    assert (fetched.deliveries, fetched.waiting) == ([], 1)


def test_what_is_leased_is_handed_to_nobody_else(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.take()
    again = stage.fetch(owner="worker-2")
    assert (again.deliveries, again.suspects, again.waiting) == ([], 0, 0)


def test_fences_grow_with_every_lease(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    fences = [stage.take().fence]
    delivery = stage.take()
    for _ in range(3):
        fences.append(delivery.fence)
        stage.settle(settlement(delivery, retried()))
        delivery = stage.take()
    assert fences == sorted(set(fences))


def test_a_first_attempt_has_no_history(stage: Stage) -> None:
    stage.publish_keys("1")
    delivery = stage.take()
    assert (delivery.history, delivery.attempt, delivery.alone) == (NO_HISTORY, 1, False)


def test_a_delivery_carries_the_mailbox_clock(stage: Stage) -> None:
    stage.publish_keys("1")
    before, asked_at = stage.now(), time.monotonic()
    delivery = stage.take()
    took = math.ceil((time.monotonic() - asked_at) * 1000)
    assert before <= delivery.clock.now()
    # The server told its time after it was asked, and it is counted from when it was.
    assert delivery.clock.now() - stage.now() <= 1 + took


def test_a_fetch_tells_how_long_until_a_lease_runs_out(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.take(lease_ms=LONG)
    next_in = stage.fetch().next_in_ms
    assert next_in is not None
    assert 0 < next_in <= LONG


def test_a_fetch_tells_the_sooner_of_schedule_and_lease(stage: Stage) -> None:
    stage.publish(posting(target("1")), posting(target("2"), delay_ms=2 * LONG))
    stage.take(lease_ms=4 * LONG)
    next_in = stage.fetch().next_in_ms
    assert next_in is not None
    assert LONG < next_in <= 2 * LONG


def test_another_queue_announces_nothing_of_this_one(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.take()
    assert stage.fetch(queue="stock").next_in_ms is None


def test_what_a_lost_worker_held_becomes_suspect_and_is_not_charged(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3")
    assert len(stage.lose()) == 3
    fetched = stage.fetch()
    assert (fetched.deliveries, fetched.suspects) == ([], 3)
    assert (stage.queue().suspects, stage.queue().takeovers, stage.queue().leased) == (3, 3, 0)
    taken = [stage.take(alone=True) for _ in range(3)]
    assert {delivery.key for delivery in taken} == {"1", "2", "3"}
    assert {delivery.attempt for delivery in taken} == {1}
    assert all(delivery.alone and delivery.history == NO_HISTORY for delivery in taken)


def test_suspects_do_not_hold_up_what_is_ready(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    stage.publish_keys("2", "3")
    fetched = stage.fetch()
    assert ids(fetched.deliveries) == ["receipt:2", "receipt:3"]
    assert fetched.suspects == 1


def test_suspects_are_handed_out_one_at_a_time(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    stage.lose()
    fetched = stage.fetch(10, alone=True)
    assert len(fetched.deliveries) == 1
    assert stage.queue().suspects == 1


def test_alone_hands_out_suspects_only(stage: Stage) -> None:
    stage.publish_keys("1")
    fetched = stage.fetch(alone=True)
    assert (fetched.deliveries, fetched.waiting) == ([], 1)


def test_taking_back_happens_in_the_fetch_that_hands_out_alone(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    assert stage.take(alone=True).key == "1"


def test_suspects_are_told_to_one_owner_at_a_time(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    stage.lose()
    assert stage.fetch(owner="worker-1").suspects == 2
    assert stage.fetch(owner="worker-2").suspects == 0
    assert stage.fetch(owner="worker-1").suspects == 2
    assert stage.fetch(owner="worker-2").suspects == 0


def test_anybody_may_take_a_suspect_alone(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    stage.lose()
    assert stage.fetch(owner="worker-1").suspects == 2
    assert len(stage.fetch(owner="worker-2", alone=True).deliveries) == 1


def test_one_queue_does_not_take_back_the_leases_of_another(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    assert stage.fetch(queue="stock").suspects == 0
    assert (stage.queue().takeovers, stage.queue().leased) == (0, 1)


def test_a_crash_alone_is_charged_as_an_attempt(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    for crashes in range(1, MAX_CRASHES):
        stage.lose(alone=True)
        delivery = stage.take(alone=True)
        assert delivery.history == charged(crashes, crashes)
        assert delivery.attempt == crashes + 1
        stage.settle(settlement(delivery, RELEASED))


def test_three_crashes_alone_are_poison(stage: Stage) -> None:
    stage.publish(posting(body=b"bad"))
    stage.lose()
    last = [stage.lose(alone=True) for _ in range(MAX_CRASHES)][-1]
    assert stage.fetch(alone=True).deliveries == []
    (record,) = stage.mailbox.ended("orders")
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.POISON)
    assert record.id == f"receipt:A-1#{last[0].fence}"
    assert record.history == charged(MAX_CRASHES, MAX_CRASHES)
    assert record.stored.endswith(b"bad")
    queue = stage.queue()
    assert (queue.dead, queue.takeovers, queue.suspects, queue.leased) == (1, MAX_CRASHES + 1, 0, 0)


def test_the_settlement_of_what_became_poison_is_fenced(stage: Stage) -> None:
    stage.publish()
    stage.lose()
    (last,) = [stage.lose(alone=True) for _ in range(MAX_CRASHES)][-1]
    stage.fetch()
    assert stage.settle(settlement(last)) == [False]
    assert (stage.queue().fenced, stage.queue().succeeded) == (1, 0)


def test_the_neighbours_of_poison_finish_without_a_charge(stage: Stage) -> None:
    stage.publish_keys("guilty", *(str(number) for number in range(20)))
    stage.lose()
    finished = []
    while (fetched := stage.fetch(alone=True)).deliveries:
        (delivery,) = fetched.deliveries
        if delivery.key == "guilty":
            stage.mailbox.renew([delivery], BRIEF)
            stage.let_pass(BRIEF)
        else:
            assert stage.settle(settlement(delivery)) == [True]
            finished.append(delivery)
    assert len(finished) == 20
    assert {delivery.attempt for delivery in finished} == {1}
    assert [record.reason for record in stage.mailbox.ended("orders")] == [Reason.POISON]


def test_a_crash_keeps_what_is_known_of_earlier_errors(stage: Stage) -> None:
    stage.publish_keys("1")
    first = ErrorRecord("KeyError", 'no "ключ"\n\t/\\ \u0000 🎭', 1_700_000_000_123)
    last = ErrorRecord("OSError", "", stage.now())
    known = History(attempts=2, first_error=first, last_error=last)
    stage.settle(Settlement(stage.take(), retried(), history=known))
    stage.lose()
    stage.lose(alone=True)
    assert stage.take(alone=True).history == History(3, 1, first_error=first, last_error=last)


def test_a_suspect_that_fails_by_itself_is_suspect_no_more(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    stage.settle(settlement(stage.take(alone=True), retried()))
    again = stage.take()
    assert (again.alone, again.attempt) == (False, 2)


def test_crashes_are_counted_over_all_attempts(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    for _ in range(MAX_CRASHES - 1):
        stage.lose(alone=True)
    stage.settle(settlement(stage.take(alone=True), retried()))
    stage.lose()
    stage.lose(alone=True)
    stage.fetch()
    assert [record.reason for record in stage.mailbox.ended("orders")] == [Reason.POISON]


def test_a_lease_that_ran_out_holds_until_it_is_taken_back(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    renewed, settled = stage.lose()
    assert stage.mailbox.renew([renewed], LONG) == []
    assert stage.settle(settlement(settled)) == [True]
    assert stage.fetch().suspects == 0
    assert stage.queue().takeovers == 0


def test_a_renewed_lease_is_not_taken_back(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    held, _ = stage.fetch(lease_ms=BRIEF).deliveries
    assert stage.mailbox.renew([held], LONG) == []
    stage.let_pass(BRIEF)
    assert stage.fetch().suspects == 1
    assert stage.take(alone=True).key == "2"
    assert stage.settle(settlement(held)) == [True]


def test_a_renewal_may_shorten_a_lease(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.mailbox.renew([stage.take(lease_ms=LONG)], BRIEF)
    stage.let_pass(BRIEF)
    assert stage.fetch().suspects == 1


def test_a_renewal_names_what_is_no_longer_held(stage: Stage) -> None:
    stage.publish_keys("lost")
    (lost,) = stage.lose()
    stage.publish_keys("held", "done", "given back")
    held, done, back = stage.fetch().deliveries
    stage.settle(settlement(done), settlement(back, RELEASED))
    assert stage.mailbox.renew([held, lost, done, back], LONG) == [lost, done, back]
    stage.take(alone=True)
    assert stage.mailbox.renew([lost], LONG) == [lost]


@pytest.mark.parametrize("alone", [False, True])
def test_a_worker_that_lost_its_lease_can_change_nothing(stage: Stage, alone: bool) -> None:
    stage.publish_keys("1")
    (late,) = stage.lose()
    if alone:
        (late,) = stage.lose(alone=True)
    current = stage.take(alone=True)
    assert current.fence > late.fence
    before = stage.queue()
    assert stage.mailbox.renew([late], LONG) == [late]
    assert stage.settle(settlement(late)) == [False]
    assert stage.settle(settlement(late, retried())) == [False]
    after = stage.queue()
    assert after.fenced == before.fenced + 2
    assert (after.succeeded, after.retried, after.leased) == (0, 0, 1)
    assert stage.settle(settlement(current)) == [True]
