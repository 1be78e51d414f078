"""How every mailbox makes outcomes durable, each of them once."""

import pytest
from msgspec.structs import replace

from callboard.actors.mailbox.infos import QueueInfo
from callboard.actors.mailbox.mailbox import Settlement, Verdict
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.messages.delivery import NO_HISTORY, ErrorRecord, History, Outcome, OutcomeKind, Reason
from callboard.messages.errors import StaleRoutes
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEAD,
    DISCARDED,
    DUPLICATE,
    LONG,
    QUEUE,
    RELEASED,
    SUCCEEDED,
    Stage,
    charged,
    ids,
    name_of,
    posting,
    retried,
    settlement,
    target,
)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (SUCCEEDED, QueueInfo("orders", succeeded=1)),
        (DUPLICATE, QueueInfo("orders", duplicate=1)),
        (DEAD, QueueInfo("orders", dead=1)),
        (DISCARDED, QueueInfo("orders", discarded=1)),
        (retried(), QueueInfo("orders", ready=1, retried=1)),
        (retried(LONG), QueueInfo("orders", scheduled=1, retried=1)),
    ],
)
def test_an_outcome_moves_a_delivery_to_its_place(
    stage: Stage, alone: bool, outcome: Outcome, expected: QueueInfo
) -> None:
    stage.publish()
    if alone:
        stage.lose()
    assert stage.settle(settlement(stage.take(alone=alone), outcome)) == [True]
    queue = stage.queue()
    here = ("ready", "leased", "scheduled", "suspects")
    for field in (*here, "succeeded", "duplicate", "dead", "discarded", "retried"):
        assert getattr(queue, field) == getattr(expected, field), field


@pytest.mark.parametrize("outcome", [SUCCEEDED, DUPLICATE])
def test_a_completed_delivery_is_not_handed_out_again(stage: Stage, outcome: Outcome) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(lease_ms=BRIEF), outcome))
    stage.let_pass(BRIEF)
    fetched = stage.fetch()
    assert (fetched.deliveries, fetched.suspects, fetched.next_in_ms) == ([], 0, None)


def test_a_retry_at_once_goes_behind_what_is_ready(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    stage.settle(settlement(stage.take(), retried()))
    again = stage.fetch().deliveries
    assert ids(again) == ["receipt:2", "receipt:1"]
    assert [delivery.attempt for delivery in again] == [1, 2]


def test_several_retries_in_one_call_keep_their_order(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3")
    stage.settle(*(settlement(delivery, retried()) for delivery in stage.fetch().deliveries))
    assert ids(stage.fetch().deliveries) == ["receipt:1", "receipt:2", "receipt:3"]


def test_a_retry_carries_the_history_it_was_given(stage: Stage) -> None:
    stage.publish()
    error = ErrorRecord("KeyError", "sku «🎭» is unknown", 1_700_000_000_000)
    history = History(attempts=7, crashes=1, first_error=error, last_error=error)
    stage.settle(Settlement(stage.take(), retried(), history=history))
    again = stage.take()
    assert (again.history, again.attempt) == (history, 8)


def test_a_retry_keeps_the_body_and_when_it_was_accepted(stage: Stage) -> None:
    stage.publish(posting(body=b"hello"))
    first = stage.take()
    stage.settle(settlement(first, retried()))
    assert stage.take().stored == first.stored


def test_a_retry_with_a_delay_comes_when_it_is_due_and_not_before(stage: Stage) -> None:
    stage.publish()
    settled_at = stage.now()
    stage.settle(settlement(stage.take(), retried(BRIEF)))
    again = stage.take_when_due()
    assert stage.now() >= settled_at + BRIEF
    assert again.attempt == 2


def test_released_goes_before_what_is_ready_and_is_not_charged(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3")
    stage.settle(settlement(stage.take(), RELEASED))
    back = stage.fetch().deliveries
    assert ids(back) == ["receipt:1", "receipt:2", "receipt:3"]
    assert back[0].history == NO_HISTORY
    assert stage.queue().released == 1


def test_a_released_suspect_is_a_suspect_still(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    stage.settle(settlement(stage.take(alone=True), RELEASED))
    fetched = stage.fetch()
    assert (fetched.deliveries, fetched.suspects) == ([], 1)
    assert stage.take(alone=True).history == NO_HISTORY


@pytest.mark.parametrize("outcome", [DEAD, DISCARDED])
def test_a_record_is_kept_of_what_ended(stage: Stage, outcome: Outcome) -> None:
    stage.publish(posting(body=bytes(range(256))))
    delivery = stage.take()
    before = stage.now()
    history = History(attempts=2, last_error=ErrorRecord("KeyError", "«sku»", 1_700_000_000_000))
    stage.settle(Settlement(delivery, outcome, history=history))
    (record,) = stage.mailbox.ended("orders")
    assert (record.id, record.queue) == (f"receipt:A-1#{delivery.fence}", "orders")
    assert (record.kind, record.reason, record.detail) == (outcome.kind, outcome.reason, outcome.detail)
    assert (record.history, record.stored) == (history, delivery.stored)
    assert before <= record.at <= stage.now()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_kept(stage: Stage, reason: Reason) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), Outcome(OutcomeKind.DEAD, reason)))
    assert [record.reason for record in stage.mailbox.ended("orders")] == [reason]


def test_without_a_history_the_one_that_is_known_is_kept(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), retried()))
    stage.settle(Settlement(stage.take(), DEAD))
    assert [record.history for record in stage.mailbox.ended("orders")] == [charged(1)]


def test_the_latest_ended_is_listed_first(stage: Stage) -> None:
    for key in ("1", "2", "3"):
        stage.publish_keys(key)
        stage.settle(settlement(stage.take(), DEAD))
        stage.let_pass(2)
    records = stage.mailbox.ended("orders", limit=2)
    assert [record.id.partition("#")[0] for record in records] == ["receipt:3", "receipt:2"]
    assert stage.mailbox.ended("stock") == []


def test_an_identity_may_end_more_than_once(stage: Stage) -> None:
    for _ in range(2):
        stage.publish()
        stage.settle(settlement(stage.take(), DEAD))
        stage.let_pass(2)
    assert len({record.id for record in stage.mailbox.ended("orders")}) == 2
    assert stage.queue().dead == 2


def test_a_group_may_have_mixed_outcomes(stage: Stage) -> None:
    stage.publish_keys("lost")
    (lost,) = stage.lose()
    stage.fetch()
    stage.publish_keys("1", "2", "3", "4", "5", "6")
    taken = stage.fetch().deliveries
    outcomes = [SUCCEEDED, retried(), DEAD, RELEASED, DISCARDED, SUCCEEDED]
    group = [settlement(each, outcome) for each, outcome in zip(taken, outcomes, strict=True)]
    assert stage.settle(*group[:3], settlement(lost), *group[3:]) == [
        True,
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    queue = stage.queue()
    assert (queue.succeeded, queue.dead, queue.discarded) == (2, 1, 1)
    assert (queue.ready, queue.suspects, queue.leased, queue.fenced) == (2, 1, 0, 1)


def test_a_group_may_be_of_several_queues(stage: Stage) -> None:
    stage.publish(posting(target("1"), target("1", actor="stock", queue="stock")))
    here, there = stage.take(), stage.fetch(queue="stock").deliveries[0]
    assert stage.settle(settlement(there), settlement(here)) == [True, True]
    assert (stage.queue("orders").succeeded, stage.queue("stock").succeeded) == (1, 1)


def test_what_a_success_publishes_is_there_with_it(stage: Stage) -> None:
    stage.publish()
    follow_up = posting(
        target("B-1", actor="stock"), target("B-1", actor="audit", queue="audits"), body=b"next"
    )
    later = posting(target("B-2", actor="stock"), delay_ms=LONG)
    assert stage.settle(settlement(stage.take(), SUCCEEDED, follow_up, later)) == [True]
    assert (stage.queue().succeeded, stage.queue().ready, stage.queue().scheduled) == (1, 1, 1)
    assert [bytes(each.body) for each in stage.fetch(queue="audits").deliveries] == [b"next"]
    assert ids(stage.fetch().deliveries) == ["stock:B-1"]


@pytest.mark.parametrize("outcome", [retried(), RELEASED, DEAD, DISCARDED], ids=name_of)
def test_only_a_success_publishes(stage: Stage, outcome: Outcome) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), outcome, posting(target("B-1", actor="stock"))))
    assert stage.queue().accepted == 1


def test_a_success_is_kept_even_if_what_it_publishes_is_known_or_in_conflict(stage: Stage) -> None:
    stage.publish_keys("1", "known")
    first, _ = stage.fetch().deliveries
    known = posting(target("known"), body=b"known")
    conflict = posting(target("known"), target("new"), body=b"other")
    assert stage.settle(settlement(first, SUCCEEDED, known, conflict, posting(target("2")))) == [True]
    assert ids(stage.fetch().deliveries) == ["receipt:2"]
    assert stage.queue().duplicates == 1


def test_what_a_success_publishes_in_conflict_is_kept_among_the_dead(stage: Stage) -> None:
    stage.publish_keys("1", "known")
    first, _ = stage.fetch().deliveries
    conflict = posting(target("known"), target("new"), body=b"other")
    assert stage.settle(settlement(first, SUCCEEDED, conflict)) == [True]
    assert stage.settle(settlement(first, SUCCEEDED, conflict)) == [True]
    records = stage.mailbox.ended(QUEUE)
    assert {record.reason for record in records} == {Reason.PAYLOAD_CONFLICT}
    assert [record.body for record in records] == [b"other", b"other"]
    assert {record.id.partition("#")[0] for record in records} == {"receipt:known", "receipt:new"}
    assert stage.queue().dead == 2


def test_each_conflict_is_kept_though_many_publish_the_same_key(stage: Stage) -> None:
    stage.publish_keys("1", "2", "known")
    first, second, _ = stage.fetch().deliveries
    bodies = [b"a", b"b", b"c"]
    conflicts = [posting(target("known"), body=body) for body in bodies]
    group = [settlement(first, SUCCEEDED, *conflicts[:2]), settlement(second, SUCCEEDED, conflicts[2])]
    assert stage.settle(*group) == [True, True]
    assert sorted(record.body for record in stage.mailbox.ended(QUEUE)) == bodies


def test_a_success_that_publishes_by_old_routes_is_settled_when_they_are_found_anew(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    first, second = stage.fetch().deliveries
    old = stage.mailbox.routes().version
    stage.mailbox.register([Subscription("audit", "audits", {"order.placed": 0})])
    by_old_routes = replace(posting(target("3")), routes_version=old)
    with pytest.raises(StaleRoutes):
        stage.settle(settlement(first, SUCCEEDED, by_old_routes), settlement(second))
    assert (stage.queue().leased, stage.queue().accepted) == (1, 2)
    by_new_routes = replace(by_old_routes, routes_version=stage.mailbox.routes().version)
    again = [settlement(first, SUCCEEDED, by_new_routes), settlement(second)]
    assert stage.settle(*again) == [True, True]
    assert (stage.queue().succeeded, stage.queue().accepted, stage.queue().fenced) == (2, 3, 0)


def test_a_handler_that_publishes_its_own_event_again_makes_a_duplicate(stage: Stage) -> None:
    stage.publish(posting(target("1")))
    assert stage.settle(settlement(stage.take(), SUCCEEDED, posting(target("1")))) == [True]
    queue = stage.queue()
    assert (queue.accepted, queue.duplicates, queue.ready) == (1, 1, 0)


def test_a_purge_discards_all_but_what_is_leased(stage: Stage) -> None:
    stage.publish_keys("lost")
    stage.lose()
    stage.fetch()
    stage.publish_keys("leased", "1", "2")
    leased = stage.take()
    stage.publish(posting(target("3"), delay_ms=LONG), posting(target("other", queue="stock")))
    assert stage.mailbox.purge("orders") == 4
    queue = stage.queue()
    assert (queue.discarded, queue.leased) == (4, 1)
    assert (queue.ready, queue.suspects, queue.scheduled) == (0, 0, 0)
    assert stage.queue("stock").ready == 1
    assert stage.settle(settlement(leased)) == [True]
    assert stage.mailbox.purge("orders") == 0


def test_a_lease_of_an_earlier_life_of_a_key_settles_nothing(stage: Stage) -> None:
    stage.publish()
    (late,) = stage.lose()
    stage.fetch()
    stage.mailbox.purge("orders")
    assert stage.publish(posting(body=b"new")) == [[Verdict.ACCEPTED]]
    assert stage.settle(settlement(late)) == [False]
    assert stage.queue().ready == 1
