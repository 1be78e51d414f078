"""How every mailbox keeps what became of the items of a delivery, and what becomes of that at its end."""

import pytest
from msgspec.structs import replace

from callboard.actors.mailbox.ledger import Notes
from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.redis.ledger import MOST_AT_ONCE
from callboard.messages.delivery import Delivery, ErrorRecord, Outcome
from callboard.messages.items import ItemRecord, ItemStatus
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
    name_of,
    posting,
    retried,
    settlement,
)

AT = 1_700_000_000_000


def done(key: str, *, loop: str = "", attempts: int = 1) -> ItemRecord:
    return ItemRecord(key, ItemStatus.SUCCEEDED, attempts, AT, AT + 5, loop=loop)


def failed(key: str, words: str = "no answer", *, rejected: bool = False) -> ItemRecord:
    error = ErrorRecord("ConnectionError", words, AT + 9)
    return ItemRecord(key, ItemStatus.FAILED, 2, AT, AT + 9, error, rejected)


def skipped(key: str) -> ItemRecord:
    return ItemRecord(key, ItemStatus.SKIPPED, 1, AT, AT, ErrorRecord("SkipItem", "retired", AT))


def settled(delivery: Delivery, outcome: Outcome = SUCCEEDED) -> Settlement:
    """An outcome of an attempt that had items."""
    made = settlement(delivery, outcome)
    assert made.history is not None
    return replace(made, history=replace(made.history, items=True))


def write(stage: Stage, delivery: Delivery, *records: ItemRecord) -> bool:
    (held,) = stage.mailbox.ledger.write([Notes(delivery, records)])
    stage.queue()
    return held


def kept(stage: Stage, delivery: Delivery) -> dict[str, ItemRecord]:
    return {record.field: record for record in stage.mailbox.ledger.of(delivery.id)}


def kept_of_ended(stage: Stage, position: int = 0) -> list[ItemRecord]:
    record = stage.mailbox.ended(QUEUE)[position]
    return sorted(stage.mailbox.ledger.of_ended(record.id), key=lambda each: each.key)


def test_what_is_written_can_be_read_as_it_was(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    records = [
        done("A"),
        done("A", loop="prices"),
        failed("B", "words with  spaces, ü and \n lines"),
        failed("C:with colon", "", rejected=True),
        skipped("D E"),
    ]
    assert write(stage, delivery, *records)
    assert kept(stage, delivery) == {record.field: record for record in records}


def test_a_later_record_takes_the_place_of_an_earlier_one_and_leaves_the_others(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    write(stage, delivery, failed("A"), failed("B"))
    assert write(stage, delivery, done("A", attempts=2))
    assert kept(stage, delivery) == {":A": done("A", attempts=2), ":B": failed("B")}


def test_writing_the_same_again_changes_nothing(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    assert [write(stage, delivery, done("A"), failed("B")) for _ in range(2)] == [True, True]
    assert kept(stage, delivery) == {":A": done("A"), ":B": failed("B")}


def test_each_delivery_has_items_of_its_own(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3")
    one, other, without = stage.fetch().deliveries
    ledger = stage.mailbox.ledger
    assert ledger.write([Notes(one, [done("A")]), Notes(other, [failed("A")])]) == [True, True]
    assert kept(stage, one) == {":A": done("A")}
    assert kept(stage, other) == {":A": failed("A")}
    assert kept(stage, without) == {}


@pytest.mark.parametrize("count", [MOST_AT_ONCE - 1, MOST_AT_ONCE + 1, 2 * MOST_AT_ONCE + 1])
def test_more_items_than_go_into_one_call_are_all_kept(stage: Stage, count: int) -> None:
    stage.publish_keys("1", "2")
    one, other = stage.fetch().deliveries
    many = [done(f"sku-{number}") for number in range(count)]
    notes = [Notes(other, [failed("A")]), Notes(one, many), Notes(other, [failed("B")])]
    assert stage.mailbox.ledger.write(notes) == [True, True, True]
    assert kept(stage, one) == {record.field: record for record in many}
    assert kept(stage, other) == {":A": failed("A"), ":B": failed("B")}


def test_writing_no_items_is_no_write(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    assert write(stage, delivery)
    assert stage.mailbox.ledger.write([]) == []
    assert kept(stage, delivery) == {}


@pytest.mark.parametrize("outcome", [RELEASED, retried(), retried(LONG)], ids=name_of)
def test_what_is_not_held_any_more_cannot_be_written(stage: Stage, outcome: Outcome) -> None:
    stage.publish()
    delivery = stage.take()
    write(stage, delivery, done("A"))
    stage.settle(settled(delivery, outcome))
    assert not write(stage, delivery, failed("A"), done("B"))
    assert kept(stage, delivery) == {":A": done("A")}


def test_a_worker_whose_lease_was_taken_over_changes_no_item(stage: Stage) -> None:
    stage.publish()
    (late,) = stage.lose()
    write(stage, late, done("A"))
    holder = stage.take(alone=True)
    held = stage.mailbox.ledger.write([Notes(late, [failed("A"), done("B")]), Notes(holder, [done("C")])])
    assert held == [False, True]
    assert kept(stage, holder) == {":A": done("A"), ":C": done("C")}


def test_a_lease_that_ran_out_and_was_not_taken_over_may_still_write(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take(lease_ms=BRIEF)
    stage.let_pass(BRIEF)
    assert write(stage, delivery, done("A"))
    assert kept(stage, delivery) == {":A": done("A")}


def test_whoever_gets_the_delivery_next_is_told_that_it_has_items(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    with_items, without = stage.fetch(lease_ms=BRIEF).deliveries
    assert not with_items.history.items
    write(stage, with_items, done("A"))
    stage.let_pass(BRIEF)
    again = [stage.take(alone=True), stage.take(alone=True)]
    assert {each.id: each.history.items for each in again} == {with_items.id: True, without.id: False}


@pytest.mark.parametrize("outcome", [RELEASED, retried(), retried(BRIEF)], ids=name_of)
def test_items_stay_while_the_delivery_comes_back(stage: Stage, outcome: Outcome) -> None:
    stage.publish()
    delivery = stage.take()
    write(stage, delivery, done("A"), failed("B"))
    stage.settle(settled(delivery, outcome))
    again = stage.take_when_due()
    assert again.history.items
    assert kept(stage, again) == {":A": done("A"), ":B": failed("B")}
    write(stage, again, done("B", attempts=3))
    assert kept(stage, again) == {":A": done("A"), ":B": done("B", attempts=3)}


def test_a_crash_that_is_charged_keeps_the_items(stage: Stage) -> None:
    stage.publish()
    (lost,) = stage.lose()
    del lost
    alone = stage.take(alone=True, lease_ms=BRIEF)
    write(stage, alone, done("A"))
    stage.let_pass(BRIEF)
    again = stage.take(alone=True)
    assert (again.history.items, again.history.crashes) == (True, 1)
    assert kept(stage, again) == {":A": done("A")}


@pytest.mark.parametrize("outcome", [SUCCEEDED, DUPLICATE], ids=name_of)
def test_a_success_drops_its_items(stage: Stage, outcome: Outcome) -> None:
    stage.publish_keys("1", "2")
    one, other = stage.fetch().deliveries
    write(stage, one, done("A"))
    write(stage, other, done("A"))
    assert stage.settle(settled(one, outcome), settlement(other, retried())) == [True, True]
    assert kept(stage, one) == {}
    assert kept(stage, other) == {":A": done("A")}
    assert stage.settle(settled(one, outcome)) == [True]


def test_a_success_with_items_publishes_what_it_has_to(stage: Stage) -> None:
    stage.publish_keys("1")
    delivery = stage.take()
    write(stage, delivery, done("A"))
    made = replace(settled(delivery), postings=(posting(body=b"next"),))
    assert stage.settle(made) == [True]
    assert stage.take().body == b"next"
    assert kept(stage, delivery) == {}


@pytest.mark.parametrize("outcome", [DEAD, DISCARDED], ids=name_of)
def test_an_end_without_success_keeps_the_items_with_its_record(stage: Stage, outcome: Outcome) -> None:
    stage.publish()
    delivery = stage.take()
    write(stage, delivery, done("A"), failed("B"))
    assert stage.settle(settled(delivery, outcome)) == [True]
    assert stage.settle(settled(delivery, outcome)) == [True]
    assert kept(stage, delivery) == {}
    assert kept_of_ended(stage) == [done("A"), failed("B")]
    assert stage.mailbox.ended(QUEUE)[0].history.items


def test_poison_keeps_the_items_with_its_record(stage: Stage) -> None:
    stage.publish()
    stage.lose()
    for _ in range(3):
        delivery = stage.take(alone=True, lease_ms=BRIEF)
        write(stage, delivery, failed("A"))
        stage.let_pass(BRIEF)
    assert stage.fetch().deliveries == []
    assert kept_of_ended(stage) == [failed("A")]


def test_an_identity_that_ended_and_comes_again_begins_without_items(stage: Stage) -> None:
    for words in ("first", "second"):
        stage.publish()
        delivery = stage.take()
        assert not delivery.history.items
        assert kept(stage, delivery) == {}
        write(stage, delivery, failed("A", words))
        stage.settle(settled(delivery, DEAD))
    assert kept_of_ended(stage, 0) == [failed("A", "second")]
    assert kept_of_ended(stage, 1) == [failed("A", "first")]


def test_a_success_that_comes_again_begins_without_items(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    write(stage, delivery, done("A"))
    stage.settle(settled(delivery, retried()))
    again = stage.take()
    # This attempt had no items of its own: what earlier ones wrote goes all the same.
    assert stage.settle(Settlement(again, SUCCEEDED, history=again.history)) == [True]
    assert kept(stage, again) == {}


def test_a_purge_takes_the_items_along(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    write(stage, delivery, done("A"))
    stage.settle(settled(delivery, retried(LONG)))
    assert stage.mailbox.purge(QUEUE) == 1
    assert kept(stage, delivery) == {}


def test_of_what_never_was_there_are_no_items(stage: Stage) -> None:
    assert stage.mailbox.ledger.of("receipt:nobody") == []
    assert stage.mailbox.ledger.of_ended("receipt:nobody#1") == []


def test_a_workspace_has_items_of_its_own(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    write(stage, delivery, done("A"))
    other = stage.elsewhere()
    assert other.ledger.of(delivery.id) == []
    other.close()
