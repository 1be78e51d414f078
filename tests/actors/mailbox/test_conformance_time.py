"""Schedules, and waiting for them: what every mailbox does as time passes."""

import threading

import pytest

from callboard.actors.mailbox.mailbox import Verdict
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEADLINE,
    LONG,
    RELEASED,
    SUCCEEDED,
    Stage,
    ids,
    posting,
    retried,
    settlement,
    target,
    waiting,
)


def test_what_is_delayed_comes_when_it_is_due_and_not_before(stage: Stage) -> None:
    published_at = stage.now()
    stage.publish(posting(delay_ms=BRIEF))
    delivery = stage.take_when_due()
    assert stage.now() >= delivery.due_at >= published_at + BRIEF
    assert delivery.due_at - delivery.accepted_at == BRIEF


def test_what_is_scheduled_for_a_moment_comes_then(stage: Stage) -> None:
    moment = stage.now() + BRIEF
    stage.publish(posting(due_at=moment))
    delivery = stage.take_when_due()
    assert stage.now() >= moment
    assert delivery.due_at in (moment, delivery.accepted_at)


def test_a_moment_that_has_passed_is_now(stage: Stage) -> None:
    stage.publish(posting(due_at=stage.now() - 1000))
    delivery = stage.take()
    assert delivery.due_at == delivery.accepted_at


def test_what_is_scheduled_far_ahead_waits(stage: Stage) -> None:
    year = 366 * 24 * 3_600_000
    stage.publish(posting(delay_ms=year))
    fetched = stage.fetch()
    assert (fetched.deliveries, stage.queue().scheduled) == ([], 1)
    assert fetched.next_in_ms is not None
    assert year - LONG < fetched.next_in_ms <= year


def test_what_is_due_goes_behind_what_is_ready_the_earliest_first(stage: Stage) -> None:
    start = stage.now()
    for key, wait in (("third", 30), ("second", 20), ("first", 10)):
        stage.publish(posting(target(key), due_at=start + BRIEF + wait))
    stage.publish_keys("ready")
    stage.let_pass(start + BRIEF + 30 - stage.now())
    assert ids(stage.fetch().deliveries) == [
        "receipt:ready",
        "receipt:first",
        "receipt:second",
        "receipt:third",
    ]


def test_a_schedule_fires_once(stage: Stage) -> None:
    stage.publish(posting(delay_ms=BRIEF))
    stage.take_when_due()
    assert stage.fetch().deliveries == []
    assert (stage.queue().scheduled, stage.queue().leased) == (0, 1)


def test_waiting_for_nothing_ends_by_itself(stage: Stage) -> None:
    assert stage.mailbox.wait("orders", 0.05) is False


def test_what_was_published_before_the_wait_is_noticed(stage: Stage) -> None:
    assert stage.fetch().deliveries == []
    stage.publish()
    assert stage.mailbox.wait("orders", 4.0) is True


def test_what_was_left_behind_by_a_fetch_is_noticed(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    stage.mailbox.wait("orders", 4.0)
    stage.take()
    assert stage.mailbox.wait("orders", 4.0) is True


def test_a_publish_wakes_who_waits(live_stage: Stage) -> None:
    with waiting(live_stage) as woken:
        live_stage.publish()
    assert woken == [True]


def test_a_publish_to_another_queue_does_not_wake(live_stage: Stage) -> None:
    with waiting(live_stage, 0.2) as woken:
        live_stage.publish(posting(target(queue="stock")))
    assert woken == [False]


def test_a_retry_at_once_wakes_who_waits(live_stage: Stage) -> None:
    live_stage.publish()
    live_stage.mailbox.wait("orders", 0.05)
    delivery = live_stage.take()
    with waiting(live_stage) as woken:
        live_stage.settle(settlement(delivery, retried()))
    assert woken == [True]


def test_what_a_success_publishes_wakes_who_waits(live_stage: Stage) -> None:
    live_stage.publish(posting(target(queue="stock")))
    (delivery,) = live_stage.fetch(queue="stock").deliveries
    with waiting(live_stage) as woken:
        live_stage.settle(settlement(delivery, SUCCEEDED, posting(target("B-1"))))
    assert woken == [True]


@pytest.mark.parametrize("alone", [False, True])
def test_what_is_given_back_wakes_who_waits(live_stage: Stage, alone: bool) -> None:
    live_stage.publish()
    if alone:
        live_stage.lose()
    delivery = live_stage.take(alone=alone)
    live_stage.mailbox.wait("orders", 0.05)
    with waiting(live_stage) as woken:
        live_stage.settle(settlement(delivery, RELEASED))
    assert woken == [True]


def test_a_worker_that_waits_learns_of_a_schedule_made_meanwhile(live_stage: Stage) -> None:
    with waiting(live_stage) as woken:
        live_stage.publish(posting(delay_ms=BRIEF))
    assert woken == [True]
    assert live_stage.take_when_due().key == "A-1"


def test_every_delivery_is_taken_when_several_workers_wait(live_stage: Stage) -> None:
    taken: list[str] = []
    done = threading.Event()

    def work(owner: str) -> None:
        while not done.is_set():
            fetched = live_stage.mailbox.fetch("orders", 1, owner=owner, lease_ms=LONG)
            live_stage.mailbox.settle([settlement(delivery) for delivery in fetched.deliveries])
            taken.extend(delivery.key for delivery in fetched.deliveries)
            if len(taken) >= 40:
                done.set()
            elif not fetched.deliveries:
                live_stage.mailbox.wait("orders", 0.5)

    workers = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for worker in workers:
        worker.start()
    live_stage.publish_keys(*(str(number) for number in range(20)))
    for number in range(20, 40):
        live_stage.publish_keys(str(number))
    assert done.wait(DEADLINE)
    for worker in workers:
        worker.join(DEADLINE)
    assert sorted(taken, key=int) == [str(number) for number in range(40)]


def test_what_is_withdrawn_from_a_schedule_does_not_come(stage: Stage) -> None:
    stage.publish(posting(delay_ms=BRIEF))
    assert stage.mailbox.purge("orders") == 1
    stage.let_pass(2 * BRIEF)
    assert stage.fetch().deliveries == []
    assert stage.publish(posting(body=b"new")) == [[Verdict.ACCEPTED]]
