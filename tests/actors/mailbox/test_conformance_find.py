"""Where a delivery stands is told, and how it ended, by the event's id or by its own."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from callboard.actors.mailbox.mailbox import Posting, Target
from callboard.actors.mailbox.records import NO_FACTS, Facts, FoundDelivery, State
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.messages.delivery import SUCCEEDED, Reason
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEAD,
    LONG,
    WORKER,
    ServerStage,
    Stage,
    VirtualStage,
    posting,
    retried,
    settlement,
    target,
)

DAY = 24 * 3_600_000

ENVELOPE = (
    b'{"specversion":"1.0","id":"event-1","source":"shop","type":"order.placed",'
    b'"time":"2030-01-01T00:00:00Z","data":{}}'
)


def subscribe(stage: Stage, *actors: str, queue: str = "orders", limit: int | None = None) -> None:
    """Let actors be routed, each with a window of a day."""
    stage.mailbox.register(
        [
            Subscription(actor, queue, {"order.placed": DAY}, order, concurrency=limit)
            for order, actor in enumerate(actors)
        ]
    )


def find(stage: Stage, identity: str = "A-1") -> FoundDelivery:
    """The only delivery that is found."""
    (found,) = stage.mailbox.records.find(identity)
    return found


def state_of(stage: Stage, identity: str = "receipt:A-1") -> State:
    """Where a delivery stands."""
    live = find(stage, identity).live
    assert live is not None
    return live.state


def keyed(event: str, *targets: Target, delay_ms: int = 0) -> Posting:
    """An event whose id is not the key of its deliveries."""
    return replace(posting(*targets, delay_ms=delay_ms), id=event)


def test_nothing_is_found_of_what_nobody_knows(stage: Stage) -> None:
    subscribe(stage, "receipt")
    assert stage.mailbox.records.find("A-1") == ()
    assert stage.mailbox.records.find("receipt:A-1") == ()


def test_every_routed_actors_delivery_is_found_in_the_order_of_fan_out(stage: Stage) -> None:
    subscribe(stage, "receipt", "audit", "stock")
    stage.publish(posting(*(target(actor=actor) for actor in ("stock", "receipt"))))
    assert [each.id for each in stage.mailbox.records.find("A-1")] == ["receipt:A-1", "stock:A-1"]


def test_a_delivery_of_an_actor_that_is_not_routed_is_found_by_its_own_id(stage: Stage) -> None:
    stage.publish()
    assert stage.mailbox.records.find("A-1") == ()
    found = find(stage, "receipt:A-1")
    assert (found.actor, found.key, found.queue) == ("receipt", "A-1", "orders")


def test_what_is_ready_tells_how_many_are_ahead_and_shows_its_body(stage: Stage) -> None:
    stage.publish_keys("A-1", "A-2", "A-3")
    live = find(stage, "receipt:A-3").live
    assert live is not None
    assert (live.state, live.ahead, live.until, live.body) == (State.READY, 2, None, b"A-3")
    assert live.accepted_at == live.due_at
    assert "A-3" not in repr(live)


def test_what_is_leased_tells_until_when(stage: Stage) -> None:
    stage.publish()
    before = stage.now()
    stage.take()
    live = find(stage, "receipt:A-1").live
    assert live is not None
    assert (live.state, live.ahead) == (State.LEASED, None)
    assert live.until is not None
    assert before + LONG <= live.until <= stage.now() + LONG


def test_what_is_scheduled_tells_until_when_and_what_its_attempts_were(stage: Stage) -> None:
    stage.publish()
    before = stage.now()
    stage.settle(settlement(stage.take(), retried(LONG)))
    live = find(stage, "receipt:A-1").live
    assert live is not None
    assert (live.state, live.history.attempts) == (State.SCHEDULED, 1)
    assert live.until is not None
    assert before + LONG <= live.until <= stage.now() + LONG


def test_a_suspect_is_told_as_one_until_it_is_leased_again(stage: Stage) -> None:
    stage.publish()
    stage.lose()
    stage.fetch(0)
    assert state_of(stage) is State.SUSPECT
    stage.lose(alone=True)
    stage.fetch(0)
    assert state_of(stage) is State.SUSPECT
    stage.take(alone=True)
    assert state_of(stage) is State.LEASED


def test_what_waits_in_an_ordered_lane_tells_whom_it_waits_for(stage: Stage) -> None:
    stage.publish(*(posting(target(key, lane="receipt:a"), body=key.encode()) for key in ("1", "2", "3")))
    assert state_of(stage, "receipt:2") is State.READY
    stage.fetch(3)
    live = find(stage, "receipt:3").live
    assert live is not None
    assert (live.state, live.behind, live.ahead) == (State.WAITING, "receipt:1", 1)
    stage.publish(posting(target("4", lane="receipt:a"), body=b"4"))
    assert state_of(stage, "receipt:4") is State.WAITING


def test_the_holder_of_a_lane_is_told_with_its_worker(stage: Stage) -> None:
    stage.publish(posting(target(lane="receipt:a")))
    stage.take()
    live = find(stage, "receipt:A-1").live
    assert live is not None
    assert (live.state, live.owner) == (State.LEASED, WORKER)


def test_what_waits_for_a_slot_of_its_actor_is_told_so(stage: Stage) -> None:
    subscribe(stage, "receipt", limit=1)
    stage.publish_keys("A-1", "A-2", "A-3")
    stage.fetch(3)
    assert state_of(stage, "receipt:A-1") is State.LEASED
    live = find(stage, "receipt:A-3").live
    assert live is not None
    assert (live.state, live.ahead, live.behind) == (State.WAITING, 1, "")


def test_a_delivery_is_found_in_the_queue_its_actor_had_before(stage: Stage) -> None:
    subscribe(stage, "receipt", queue="mail")
    stage.publish()
    assert find(stage).queue == "orders"
    stage.take()
    assert (find(stage).queue, state_of(stage)) == ("orders", State.LEASED)


def test_a_success_tells_about_when_it_was(stage: Stage) -> None:
    subscribe(stage, "receipt")
    stage.publish(posting(target(window_ms=DAY)))
    delivery = stage.take()
    before = stage.now()
    stage.settle(replace(settlement(delivery, SUCCEEDED), window_ms=DAY))
    found = find(stage)
    assert (found.live, found.ended, found.queue) == (None, (), "")
    assert found.completed is not None
    assert found.completed.at <= stage.now()
    assert found.completed.at + found.completed.within_ms >= before
    # A bucket of half a day in 65,536 parts.
    assert found.completed.within_ms <= 660


def test_a_success_is_found_when_its_window_has_changed_since(stage: Stage) -> None:
    subscribe(stage, "receipt")
    stage.publish(posting(target(window_ms=DAY)))
    stage.settle(replace(settlement(stage.take(), SUCCEEDED), window_ms=DAY))
    stage.mailbox.register([Subscription("receipt", "orders", {"order.placed": 2 * DAY})])
    assert find(stage).completed is not None


def test_a_success_told_twice_is_known_whenever_it_is_told_again(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    assert stage.settle(settlement(delivery)) == [True]
    stage.let_pass(BRIEF)  # the mark tells another moment by now
    assert stage.settle(settlement(delivery)) == [True]


def test_each_end_of_a_key_is_found_the_latest_first(stage: Stage) -> None:
    for _ in range(2):
        stage.publish()
        stage.settle(settlement(stage.take(), DEAD))
        stage.let_pass(1)
    stage.publish()
    found = find(stage, "receipt:A-1")
    assert found.live is not None
    assert [each.reason for each in found.ended] == [Reason.REJECTED] * 2
    assert found.ended[0].at > found.ended[1].at
    assert {each.delivery for each in found.ended} == {"receipt:A-1"}


def test_an_event_is_found_by_its_id_where_the_key_is_another(stage: Stage) -> None:
    subscribe(stage, "receipt", "audit")
    stage.publish(keyed("event-1", target("A-1"), target("event-1", actor="audit")))
    assert [each.id for each in stage.mailbox.records.find("event-1")] == ["audit:event-1", "receipt:A-1"]


def test_a_duplicates_event_leads_to_the_delivery_that_there_is(stage: Stage) -> None:
    stage.publish(keyed("event-1"))
    stage.publish(keyed("event-2"))
    assert find(stage, "event-2").id == "receipt:A-1"


def test_a_conflicting_event_leads_nowhere(stage: Stage) -> None:
    stage.publish(keyed("event-1"))
    stage.publish(replace(posting(body=b"other"), id="event-2"))
    assert stage.mailbox.records.find("event-2") == ()


def test_an_event_published_twice_is_found_once(stage: Stage) -> None:
    stage.publish(keyed("event-1"))
    stage.publish(replace(keyed("event-1"), sent_before=True))
    assert find(stage, "event-1").id == "receipt:A-1"


def test_an_event_that_is_due_in_a_year_is_found_until_then(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish(keyed("event-1", target("A-1", window_ms=DAY), delay_ms=365 * DAY))
    virtual_stage.let_pass(365 * DAY)
    assert state_of(virtual_stage, "event-1") is State.SCHEDULED
    virtual_stage.let_pass(2 * DAY)
    assert virtual_stage.mailbox.records.find("event-1") == ()


def test_what_ended_is_found_by_its_event_as_long_as_its_record_is_kept(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish(replace(posting(body=ENVELOPE), id="event-1"))
    virtual_stage.settle(settlement(virtual_stage.take(), DEAD))
    virtual_stage.let_pass(30 * DAY - 1)
    assert [each.reason for each in find(virtual_stage, "event-1").ended] == [Reason.REJECTED]


@pytest.mark.parametrize("server", ["valkey", "redis_server"])
def test_a_server_keeps_what_leads_to_a_record_as_long_as_that(
    server: str, request: pytest.FixtureRequest, open_stage: Callable[[str], ServerStage]
) -> None:
    stage = open_stage(request.getfixturevalue(server).url)
    stage.publish(posting(body=ENVELOPE))  # nothing leads to it yet
    stage.settle(settlement(stage.take(), DEAD))
    assert [each.reason for each in find(stage, "event-1").ended] == [Reason.REJECTED]
    assert isinstance(stage.mailbox, RedisMailbox)
    keys = list(stage.client.scan_iter(f"*{stage.mailbox.workspace}*:aliases:*"))
    assert len(keys) == 2
    assert min(stage.client.pttl(key) for key in keys) > 30 * DAY - LONG
    stage.close()


def test_looking_changes_nothing(stage: Stage) -> None:
    subscribe(stage, "receipt")
    stage.publish_keys("A-1", "A-2")
    stage.settle(settlement(stage.take(), DEAD))
    before = stage.mailbox.info().queues
    for identity in ("A-1", "A-2", "A-3"):
        stage.mailbox.records.find(identity)
    assert stage.mailbox.info().queues == before


def test_records_come_without_bodies_unless_nothing_else_tells_what_they_are_of(stage: Stage) -> None:
    subscribe(stage, "receipt")
    told = Facts("event-1", "order.placed", 1)
    stage.mailbox.publish([posting(target("A-1"), body=ENVELOPE), posting(target("A-2"), body=ENVELOPE)])
    for delivery in stage.mailbox.fetch("orders", 2, owner=WORKER, lease_ms=LONG).deliveries:
        facts = told if delivery.key == "A-1" else NO_FACTS
        stage.mailbox.settle([replace(settlement(delivery, DEAD), facts=facts)])
    (with_facts,) = find(stage, "receipt:A-1").ended
    (without,) = find(stage, "receipt:A-2").ended
    assert (with_facts.body, without.body) == (b"", ENVELOPE)
    assert with_facts.accepted_at > 0
    whole = stage.mailbox.records.get(with_facts.id)
    assert whole is not None
    assert whole.body == ENVELOPE
