"""Suspects that may run together, and what becomes of them when their worker is lost once more."""

import pytest

from callboard.actors.mailbox.mailbox import Fetched
from callboard.actors.mailbox.suspects import MAX_CRASHES, Suspects
from callboard.messages.delivery import NO_HISTORY, RELEASED, Delivery
from tests.actors.mailbox.conformance import BRIEF, LONG, QUEUE, WORKER, Stage, settlement

TOGETHER = Suspects(together=3)
AROUND = Suspects(together=0)


def fetch(
    stage: Stage,
    suspects: Suspects = TOGETHER,
    *,
    limit: int = 100,
    owner: str = WORKER,
    lease_ms: int = LONG,
    alone: bool = False,
) -> Fetched:
    """Fetch, and check."""
    fetched = stage.mailbox.fetch(
        QUEUE, limit, owner=owner, lease_ms=lease_ms, alone=alone, suspects=suspects
    )
    stage.queue()
    return fetched


def lose(stage: Stage, suspects: Suspects = TOGETHER, *, alone: bool = False) -> list[Delivery]:
    """Fetch as a worker that is never heard of again, and let its leases run out."""
    lost = fetch(stage, suspects, lease_ms=BRIEF, owner="lost", alone=alone).deliveries
    stage.let_pass(BRIEF)
    return lost


def keys(fetched: Fetched) -> list[str]:
    return [delivery.key for delivery in fetched.deliveries]


def test_what_was_lost_once_is_handed_out_together_before_what_is_ready(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    lose(stage)
    stage.publish_keys("3")
    fetched = fetch(stage)
    assert sorted(keys(fetched)) == ["1", "2"]
    assert all(each.suspect and not each.alone and each.history == NO_HISTORY for each in fetched.deliveries)
    assert (fetched.suspects, fetched.together, fetched.waiting) == (0, 0, 1)
    assert keys(fetch(stage)) == ["3"]


def test_no_more_are_handed_out_together_than_asked_for(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3", "4", "5")
    lose(stage)
    fetched = fetch(stage)
    assert (len(fetched.deliveries), fetched.together) == (3, 2)
    assert len(fetch(stage, limit=1).deliveries) == 1
    assert stage.queue().suspects == 1


def test_without_room_for_suspects_what_is_ready_is_handed_out(stage: Stage) -> None:
    stage.publish_keys("1")
    lose(stage)
    stage.publish_keys("2")
    fetched = fetch(stage, AROUND)
    assert keys(fetched) == ["2"]
    assert not fetched.deliveries[0].suspect
    assert (fetched.suspects, fetched.together) == (0, 1)


def test_lost_together_they_are_charged_nothing_and_run_alone_from_then_on(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    lose(stage)
    assert len(lose(stage)) == 2
    fetched = fetch(stage)
    assert (fetched.deliveries, fetched.suspects, fetched.together) == ([], 2, 0)
    (one,) = fetch(stage, AROUND, alone=True).deliveries
    assert (one.alone, one.suspect, one.history) == (True, False, NO_HISTORY)
    assert stage.queue().suspects == 1


def test_who_goes_around_them_takes_alone_only_what_must_be(stage: Stage) -> None:
    stage.publish_keys("1")
    lose(stage)
    assert fetch(stage, AROUND, alone=True).deliveries == []
    assert len(fetch(stage, Suspects(), alone=True).deliveries) == 1


def test_a_loss_alone_is_charged_and_the_third_is_poison(stage: Stage) -> None:
    stage.publish_keys("1")
    lose(stage)
    lose(stage)
    attempts = [lose(stage, AROUND, alone=True)[0].attempt for _ in range(MAX_CRASHES)]
    assert attempts == [1, 2, 3]
    fetch(stage)
    assert (stage.queue().dead, stage.queue().suspects) == (1, 0)


def test_what_cannot_be_alone_is_charged_nothing(stage: Stage) -> None:
    stage.publish_keys("1")
    lose(stage)
    lose(stage)
    beside = Suspects(together=0, charged=False)
    for _ in range(MAX_CRASHES + 1):
        (lost,) = lose(stage, beside, alone=True)
        assert (lost.alone, lost.suspect, lost.attempt) == (False, True, 1)
    assert fetch(stage, AROUND, alone=True).deliveries[0].attempt == 1


def test_who_does_not_hunt_is_told_nothing_and_another_is(stage: Stage) -> None:
    stage.publish_keys("1")
    lose(stage)
    lose(stage)
    assert fetch(stage, Suspects(together=0, hunts=False), owner="worker-1").suspects == 0
    assert fetch(stage, AROUND, owner="worker-2").suspects == 1
    assert fetch(stage, AROUND, owner="worker-1").suspects == 0


def test_one_that_is_given_back_may_run_together_again(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    lose(stage)
    (one, _) = fetch(stage).deliveries
    assert stage.settle(settlement(one, RELEASED)) == [True]
    again = fetch(stage)
    assert keys(again) == [one.key]
    assert again.deliveries[0].suspect


def test_one_that_is_settled_or_renewed_is_known_by_its_mark(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3")
    lose(stage)
    one, two, three = fetch(stage).deliveries
    assert stage.mailbox.renew([one, two, three], LONG) == []
    assert stage.settle(settlement(one), settlement(two)) == [True, True]
    assert stage.settle(settlement(one)) == [True]
    assert stage.queue().leased == 1


@pytest.mark.parametrize("again", [False, True])
def test_all_suspects_are_counted_and_purged(stage: Stage, again: bool) -> None:
    stage.publish_keys("1", "2")
    lose(stage)
    if again:
        lose(stage, Suspects(together=1))
    fetch(stage, AROUND)
    assert stage.queue().suspects == 2
    assert stage.mailbox.purge(QUEUE) == 2
    assert stage.queue().suspects == 0


def test_suspects_left_wake_another_but_not_without_end(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3", "4")
    lose(stage)
    fetch(stage)
    stage.mailbox.wait(QUEUE, 0.0)
    fetch(stage, AROUND)
    assert not stage.mailbox.wait(QUEUE, 0.0)


def test_a_fetch_tells_what_it_took_over_and_what_is_dead_by_it(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    (settled, lost) = stage.lose()
    assert stage.fetch(0).taken_over == 2
    assert stage.fetch(0).taken_over == 0
    stage.settle(settlement(stage.take(alone=True)))
    poisoned: list[Delivery] = []
    for _ in range(MAX_CRASHES):
        assert [each.id for each in stage.lose(alone=True)] == [lost.id]
        told = stage.fetch(0)
        assert told.taken_over == 1
        poisoned += told.poisoned
    (dead,) = poisoned
    assert (dead.id, dead.queue, dead.stored, settled.id) == (lost.id, QUEUE, lost.stored, "receipt:1")
    assert (dead.history.crashes, dead.history.attempts) == (MAX_CRASHES, MAX_CRASHES)
