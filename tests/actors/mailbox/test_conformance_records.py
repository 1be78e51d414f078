"""What is kept of deliveries that have ended: facts, pages, and how long; over every mailbox."""

from collections.abc import Iterator
from itertools import count

import pytest
from msgspec.structs import replace

from callboard.actors.mailbox.mailbox import ENDED_RETENTION_MS, MIN_WINDOW_MS, Settlement
from callboard.actors.mailbox.memory import MemoryMailbox
from callboard.actors.mailbox.records import KINDS, EndedRecord, Facts, Span, records_in
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.actors.mailbox.suspects import MAX_CRASHES
from callboard.messages.delivery import Delivery, ErrorRecord, OutcomeKind, Reason
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEAD,
    DISCARDED,
    DUPLICATE,
    QUEUE,
    SUCCEEDED,
    ServerStage,
    Stage,
    VirtualStage,
    posting,
    settlement,
    target,
)

FACTS = Facts("event-1", "order.placed", 2, "A-1", "cause-0", "cause-1", "host:1:ab", 1_700_000_000_000)
ERROR = ErrorRecord("KeyError", "no such customer", 1_700_000_000_000, "0123456789ab")


def recorded(delivery: Delivery, settled: Settlement) -> Settlement:
    """The same with facts, and an error in its history."""
    history = replace(delivery.history, attempts=delivery.attempt, first_error=ERROR, last_error=ERROR)
    return replace(settled, facts=FACTS, history=history)


def kept(stage: Stage, kind: OutcomeKind, queue: str = QUEUE) -> list[EndedRecord]:
    """The records of a kind, the latest first."""
    return list(records_in(stage.mailbox.records, Span(queue, kind, bodies=True)))


def let_die(stage: Stage, *keys: str, actor: str = "receipt") -> None:
    """One dead letter a key, each in a moment of its own."""
    for key in keys:
        stage.publish(posting(target(key, actor=actor), body=key.encode()))
        stage.settle(settlement(stage.take(), DEAD))
        stage.let_pass(1)


@pytest.mark.parametrize("outcome", [SUCCEEDED, DEAD, DISCARDED], ids=lambda each: each.kind)
def test_a_record_tells_all_that_its_worker_told(stage: Stage, outcome: object) -> None:
    stage.publish()
    delivery = stage.take()
    before = stage.now()
    stage.settle(replace(recorded(delivery, settlement(delivery)), outcome=outcome))
    (record,) = kept(stage, outcome.kind)  # type: ignore[attr-defined]
    assert (record.facts, record.history.last_error, record.queue) == (FACTS, ERROR, QUEUE)
    assert (record.delivery, record.actor, record.history.attempts) == ("receipt:A-1", "receipt", 1)
    assert (record.accepted_at, record.due_at) == (delivery.accepted_at, delivery.due_at)
    assert before <= record.at <= stage.now()
    assert record.until == record.at + ENDED_RETENTION_MS
    assert stage.mailbox.records.get(record.id) == record


def test_the_body_of_a_failure_is_kept_and_that_of_a_success_is_not(stage: Stage) -> None:
    stage.publish_keys("A-1", "A-2")
    good, bad = stage.fetch().deliveries
    stage.settle(recorded(good, settlement(good)), recorded(bad, settlement(bad, DEAD)))
    assert [each.body for each in kept(stage, OutcomeKind.SUCCEEDED)] == [b""]
    assert [each.body for each in kept(stage, OutcomeKind.DEAD)] == [b"A-2"]


@pytest.mark.parametrize("outcome", [SUCCEEDED, DUPLICATE], ids=lambda each: each.kind)
def test_no_record_is_kept_of_a_success_of_which_nothing_is_told(stage: Stage, outcome: object) -> None:
    stage.publish()
    stage.settle(replace(settlement(stage.take()), outcome=outcome))
    assert [kept(stage, kind) for kind in KINDS] == [[], [], []]


def test_a_success_with_a_record_is_counted_remembered_and_known_again(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    told = recorded(delivery, settlement(delivery))
    assert stage.settle(told) == [True]
    assert stage.settle(told) == [True]
    assert stage.queue().succeeded == 1
    assert len(kept(stage, OutcomeKind.SUCCEEDED)) == 1
    found = stage.mailbox.records.find("receipt:A-1")[0]
    assert found.completed is not None
    assert [each.kind for each in found.ended] == [OutcomeKind.SUCCEEDED]


def test_a_record_is_kept_as_long_as_its_contract_says(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    delivery = virtual_stage.take()
    week = 7 * 24 * 3_600_000
    virtual_stage.settle(replace(recorded(delivery, settlement(delivery, DEAD)), retention_ms=week))
    virtual_stage.let_pass(week - 1)
    assert len(kept(virtual_stage, OutcomeKind.DEAD)) == 1
    virtual_stage.let_pass(1)
    assert kept(virtual_stage, OutcomeKind.DEAD) == []
    assert virtual_stage.mailbox.records.find("receipt:A-1") == ()


def test_no_retention_is_shorter_than_what_a_repeated_settlement_needs(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    stage.settle(replace(recorded(delivery, settlement(delivery, DEAD)), retention_ms=1))
    (record,) = kept(stage, OutcomeKind.DEAD)
    assert record.until == record.at + MIN_WINDOW_MS


def test_poison_is_kept_as_long_as_the_longest_retention_of_its_actor(stage: Stage) -> None:
    windows = {"order.placed": 1, "order.cancelled": 1}
    retention = {"order.placed": MIN_WINDOW_MS, "order.cancelled": 2 * MIN_WINDOW_MS}
    stage.mailbox.register([Subscription("receipt", QUEUE, windows, retention=retention)])
    stage.publish()
    stage.lose()
    for _ in range(MAX_CRASHES):
        stage.fetch(0)
        stage.lose(alone=True)
    stage.fetch(0)
    (record,) = kept(stage, OutcomeKind.DEAD)
    assert (record.reason, record.until - record.at) == (Reason.POISON, 2 * MIN_WINDOW_MS)


def crowded(kind: str, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A mailbox that keeps three records of a kind."""
    stage: Stage
    if kind == "memory":
        stage = VirtualStage()
        stage.mailbox = MemoryMailbox(clock=stage.clock, most_recorded=3)
    else:
        url = request.getfixturevalue(kind).url
        name = f"crowded-{next(_names)}"
        stage = ServerStage(
            url,
            lambda: RedisMailbox(url, name, most_recorded=3),
            lambda: RedisMailbox(url, f"{name}-other"),
        )
    yield stage
    stage.close()


_names = count(1)


@pytest.fixture(params=["memory", "valkey", "redis_server"])
def crowded_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    yield from crowded(request.param, request)


def test_beyond_so_many_of_a_kind_the_oldest_is_forgotten(crowded_stage: Stage) -> None:
    stage = crowded_stage
    stage.publish()
    stage.settle(settlement(stage.take(), DISCARDED))
    let_die(stage, "1", "2", "3", "4", "5")
    assert [each.delivery for each in kept(stage, OutcomeKind.DEAD)] == [
        "receipt:5",
        "receipt:4",
        "receipt:3",
    ]
    assert len(kept(stage, OutcomeKind.DISCARDED)) == 1
    assert stage.mailbox.records.find("receipt:1") == ()
    assert stage.queue().dead == 5


def test_thousands_that_one_settlement_buries_are_kept_and_forgotten_like_any_others(
    crowded_stage: Stage,
) -> None:
    stage = crowded_stage
    stage.publish_keys("known", "handler")
    _, handler = stage.fetch().deliveries
    conflicts = [posting(target("known"), body=b"another")] * 5000
    assert stage.settle(settlement(handler, SUCCEEDED, *conflicts)) == [True]
    queue = stage.queue()
    assert (queue.accepted, queue.dead, queue.dead_letters.count) == (5002, 5000, 3)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("a_page", [1, 2, 3, 100])
def test_pages_show_each_record_once_and_in_order(stage: Stage, newest_first: bool, a_page: int) -> None:
    stage.publish_keys(*"12345")
    some = stage.fetch().deliveries
    stage.settle(*(settlement(each, DEAD) for each in some[:4]))  # in one moment
    stage.let_pass(1)
    stage.settle(settlement(some[4], DEAD))
    span = Span(QUEUE, OutcomeKind.DEAD, newest_first=newest_first)
    told = [each.delivery for each in records_in(stage.mailbox.records, span, a_page)]
    assert sorted(told) == [f"receipt:{key}" for key in "12345"]
    assert told[0 if newest_first else -1] == "receipt:5"


@pytest.mark.parametrize("newest_first", [True, False])
def test_what_leaves_the_pages_meanwhile_shifts_nothing(stage: Stage, newest_first: bool) -> None:
    stage.publish_keys(*"1234567")
    stage.settle(*(settlement(each, DEAD) for each in stage.fetch().deliveries))
    span = Span(QUEUE, OutcomeKind.DEAD, newest_first=newest_first)
    seen = []
    for record in records_in(stage.mailbox.records, span, 2):
        seen.append(record.delivery)
        stage.mailbox.records.discard([record.id], "run")
    assert sorted(seen) == [f"receipt:{key}" for key in "1234567"]


def test_a_span_has_an_actor_and_both_of_its_ends(stage: Stage) -> None:
    let_die(stage, "1", "2")
    let_die(stage, "3", actor="audit")
    let_die(stage, "4")
    at = {each.delivery: each.at for each in kept(stage, OutcomeKind.DEAD)}
    records = stage.mailbox.records
    span = Span(QUEUE, OutcomeKind.DEAD, "receipt", at["receipt:2"], at["receipt:4"])
    for newest_first in (True, False):
        told = records_in(records, replace(span, newest_first=newest_first), 1)
        assert sorted(each.delivery for each in told) == ["receipt:2", "receipt:4"]
    assert list(records_in(records, replace(span, since=at["receipt:4"] + 1, until=None))) == []


def test_bodies_come_only_when_asked_for(stage: Stage) -> None:
    let_die(stage, "secret")
    (record,) = stage.mailbox.records.page(Span(QUEUE, OutcomeKind.DEAD), 10).records
    assert record.body == b""
    assert record.accepted_at > 0
    (record,) = stage.mailbox.records.page(Span(QUEUE, OutcomeKind.DEAD, bodies=True), 10).records
    assert record.body == b"secret"
    assert "secret" not in repr(record)


def test_a_retry_leads_from_its_event_to_the_delivery_for_another_day(virtual_stage: VirtualStage) -> None:
    day = 24 * 3_600_000
    virtual_stage.publish(replace(posting(), id="event-1"))
    delivery = virtual_stage.take()
    again = replace(recorded(delivery, settlement(delivery)), outcome=replace(DEAD, kind="retried"))
    again = replace(again, outcome=replace(SUCCEEDED, kind=OutcomeKind.RETRIED, delay_ms=9 * day))
    virtual_stage.settle(again)
    virtual_stage.let_pass(9 * day + BRIEF)
    assert [each.id for each in virtual_stage.mailbox.records.find("event-1")] == ["receipt:A-1"]
