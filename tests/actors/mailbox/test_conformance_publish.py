"""What every mailbox does with what is published."""

from collections.abc import Callable

import pytest

from callboard.actors.mailbox.mailbox import Verdict
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.messages.errors import StaleRoutes
from tests.actors.mailbox.conformance import (
    DEAD,
    DISCARDED,
    LONG,
    Stage,
    check_conservation,
    ids,
    posting,
    queue_of,
    retried,
    settlement,
    target,
)

ACCEPTED, DUPLICATE = Verdict.ACCEPTED, Verdict.DUPLICATE
CONFLICT, WITHHELD = Verdict.CONFLICT, Verdict.WITHHELD

HOSTILE = [
    "a b",
    "{x}",
    "{}",
    "*",
    "?[a-z]",
    "a:b:c",
    ":",
    "#1",
    "a#2",
    "ключ",
    "鍵🎭",
    "'\"\\",
    "%s%d",
    "-1",
    "0",
]


def ready(stage: Stage) -> None:
    stage.publish()


def scheduled(stage: Stage) -> None:
    stage.publish(posting(delay_ms=LONG))


def leased(stage: Stage) -> None:
    stage.publish()
    stage.take()


def suspect(stage: Stage) -> None:
    stage.publish()
    stage.lose()
    assert stage.fetch().suspects == 1


def leased_alone(stage: Stage) -> None:
    suspect(stage)
    stage.take(alone=True)


def waiting_for_a_retry(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), retried(LONG)))


def given_back(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), retried()))


def completed(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take()))


KNOWN = [ready, scheduled, leased, suspect, leased_alone, waiting_for_a_retry, given_back, completed]


def dead(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), DEAD))


def discarded(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), DISCARDED))


def purged(stage: Stage) -> None:
    stage.publish()
    stage.mailbox.purge("orders")


def test_a_posting_becomes_one_delivery_for_each_target(stage: Stage) -> None:
    targets = target(actor="receipt"), target(actor="stock", queue="stock"), target(actor="audit")
    assert stage.publish(posting(*targets, body=b"hello")) == [[ACCEPTED] * 3]

    here, there = stage.fetch().deliveries, stage.fetch(queue="stock").deliveries
    assert ids(here) == ["receipt:A-1", "audit:A-1"]
    assert ids(there) == ["stock:A-1"]
    assert {bytes(delivery.body) for delivery in here + there} == {b"hello"}
    assert {delivery.queue for delivery in there} == {"stock"}


def test_a_delivery_says_which_body_it_has_and_when_it_was_accepted(stage: Stage) -> None:
    event = posting(body=b"hello")
    before = stage.now()
    stage.publish(event)
    delivery = stage.take()
    assert before <= delivery.accepted_at <= stage.now()
    assert delivery.due_at == delivery.accepted_at
    assert delivery.fingerprint == event.fingerprint
    assert (delivery.actor, delivery.key, delivery.attempt) == ("receipt", "A-1", 1)


def test_deliveries_come_out_in_the_order_in_which_they_were_published(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    stage.publish(posting(target("3"), target("3", actor="audit")), posting(target("4")))
    first, rest = stage.fetch(2).deliveries, stage.fetch().deliveries
    assert ids(first + rest) == ["receipt:1", "receipt:2", "receipt:3", "audit:3", "receipt:4"]


@pytest.mark.parametrize("known", KNOWN)
def test_the_same_again_is_a_duplicate_while_it_is_known(
    stage: Stage, known: Callable[[Stage], None]
) -> None:
    known(stage)
    before = stage.queue()
    assert stage.publish(posting()) == [[DUPLICATE]]
    after = stage.queue()
    assert after.duplicates == before.duplicates + 1
    assert after.accepted == before.accepted == 1


@pytest.mark.parametrize("known", KNOWN)
def test_another_body_under_a_known_key_is_a_conflict(stage: Stage, known: Callable[[Stage], None]) -> None:
    known(stage)
    before = stage.queue()
    assert stage.publish(posting(body=b"other")) == [[CONFLICT]]
    assert stage.queue() == before


@pytest.mark.parametrize("ended", [dead, discarded, purged])
def test_a_key_whose_delivery_ended_is_free_again(stage: Stage, ended: Callable[[Stage], None]) -> None:
    ended(stage)
    records = stage.mailbox.ended("orders")
    assert stage.publish(posting(body=b"another")) == [[ACCEPTED]]
    again = stage.take()
    assert (bytes(again.body), again.attempt) == (b"another", 1)
    assert stage.mailbox.ended("orders") == records


def test_a_conflict_for_one_target_withholds_the_posting_from_all(stage: Stage) -> None:
    stage.publish(posting(target(actor="audit", queue="audits"), body=b"first"))
    targets = target(actor="receipt"), target(actor="audit", queue="audits"), target(actor="stock")
    assert stage.publish(posting(*targets, body=b"second")) == [[WITHHELD, CONFLICT, WITHHELD]]
    assert stage.queue().accepted == 0
    assert stage.fetch().deliveries == []
    assert [bytes(each.body) for each in stage.fetch(queue="audits").deliveries] == [b"first"]


def test_a_duplicate_beside_a_conflict_is_withheld_and_not_counted(stage: Stage) -> None:
    stage.publish(
        posting(target(actor="receipt"), body=b"second"), posting(target(actor="audit"), body=b"first")
    )
    both = posting(target(actor="receipt"), target(actor="audit"), body=b"second")
    assert stage.publish(both) == [[WITHHELD, CONFLICT]]
    assert stage.queue().duplicates == 0


def test_a_posting_goes_to_those_who_do_not_have_it_yet(stage: Stage) -> None:
    stage.publish(posting(target(actor="receipt")))
    assert stage.publish(posting(target(actor="receipt"), target(actor="audit"))) == [[DUPLICATE, ACCEPTED]]
    assert ids(stage.fetch().deliveries) == ["receipt:A-1", "audit:A-1"]


def test_one_posting_in_conflict_does_not_hold_up_the_others(stage: Stage) -> None:
    stage.publish_keys("2")
    verdicts = stage.publish(posting(target("1")), posting(target("2"), body=b"other"), posting(target("3")))
    assert verdicts == [[ACCEPTED], [CONFLICT], [ACCEPTED]]
    assert ids(stage.fetch().deliveries) == ["receipt:2", "receipt:1", "receipt:3"]


def test_the_same_posting_twice_in_one_call_is_as_in_two(stage: Stage) -> None:
    assert stage.publish(posting(), posting()) == [[ACCEPTED], [DUPLICATE]]
    assert stage.publish(posting(target("2")), posting(target("2"), body=b"other")) == [
        [ACCEPTED],
        [CONFLICT],
    ]
    assert ids(stage.fetch().deliveries) == ["receipt:A-1", "receipt:2"]


def test_a_target_named_twice_in_a_posting_gets_one_delivery(stage: Stage) -> None:
    assert stage.publish(posting(target(), target())) == [[ACCEPTED, DUPLICATE]]
    assert ids(stage.fetch().deliveries) == ["receipt:A-1"]


def test_an_identity_is_one_in_all_queues(stage: Stage) -> None:
    assert stage.publish(posting(target(queue="orders")), posting(target(queue="slow"))) == [
        [ACCEPTED],
        [DUPLICATE],
    ]
    assert (stage.queue("orders").accepted, stage.queue("slow").duplicates) == (1, 1)


def test_a_completed_key_is_known_whatever_queue_it_was_in(stage: Stage) -> None:
    completed(stage)
    assert stage.publish(posting(target(queue="slow"))) == [[DUPLICATE]]


def test_an_event_without_targets_is_only_counted(stage: Stage) -> None:
    unrouted = posting()
    unrouted = type(unrouted)("nobody.listens", b"{}", unrouted.fingerprint, ())
    assert stage.publish(unrouted, unrouted) == [[], []]
    info = stage.mailbox.info()
    assert info.unrouted == {"nobody.listens": 2}
    assert sum(queue.accepted for queue in info.queues) == 0


def test_nothing_may_be_published_settled_or_renewed(stage: Stage) -> None:
    assert stage.mailbox.publish([]) == []
    assert stage.mailbox.settle([]) == []
    assert stage.mailbox.renew([], LONG) == []


@pytest.mark.parametrize("body", [b"", bytes(range(256)), b"\r\n$-1\r\n", b"\xff\xfe\x00", b"1700000000000"])
def test_a_body_is_carried_as_it_came(stage: Stage, body: bytes) -> None:
    stage.publish(posting(body=body))
    assert bytes(stage.take().body) == body


def test_a_megabyte_of_bodies_goes_in_and_out_in_one_call(stage: Stage) -> None:
    bodies = [bytes([number]) * 262_144 for number in range(4)]
    stage.publish(*(posting(target(str(number)), body=body) for number, body in enumerate(bodies)))
    assert [bytes(delivery.body) for delivery in stage.fetch().deliveries] == bodies


def test_thousands_of_deliveries_go_in_and_out_in_order(stage: Stage) -> None:
    keys = [str(number) for number in range(2500)]
    verdicts = stage.publish(*(posting(target(key)) for key in keys))
    assert verdicts == [[ACCEPTED]] * len(keys)
    taken: list[str] = []
    while deliveries := stage.fetch(5000).deliveries:
        taken += [delivery.key for delivery in deliveries]
        assert all(stage.settle(*(settlement(delivery) for delivery in deliveries)))
    assert taken == keys
    assert stage.queue().succeeded == len(keys)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_taken_for_anything_but_itself(stage: Stage, name: str) -> None:
    actor = name.replace(":", ";")
    event = posting(target(name, actor=actor, queue=name))
    assert stage.publish(event) == [[ACCEPTED]]
    (delivery,) = stage.fetch(queue=name).deliveries
    assert (delivery.actor, delivery.key, delivery.queue) == (actor, name, name)
    assert stage.mailbox.renew([delivery], LONG) == []
    assert stage.settle(settlement(delivery, retried())) == [True]
    (delivery,) = stage.fetch(queue=name).deliveries
    assert stage.settle(settlement(delivery, DEAD)) == [True]
    assert [record.id for record in stage.mailbox.ended(name)] == [f"{actor}:{name}#{delivery.fence}"]
    assert stage.publish(event) == [[ACCEPTED]]
    (delivery,) = stage.fetch(queue=name).deliveries
    assert stage.settle(settlement(delivery)) == [True]
    assert stage.publish(event) == [[DUPLICATE]]
    assert (stage.queue(name).succeeded, stage.queue(name).dead) == (1, 1)


def test_two_workspaces_know_nothing_of_each_other(stage: Stage) -> None:
    other = stage.elsewhere()
    try:
        stage.publish()
        assert other.fetch("orders", 10, owner="w", lease_ms=LONG).deliveries == []
        assert other.publish([posting(body=b"other")]) == [[ACCEPTED]]
        assert [bytes(each.body) for each in stage.fetch().deliveries] == [b"{}"]
        assert queue_of(other.info(), "orders").ready == 1
        other.register([Subscription("receipt", "orders", {})])
        assert stage.mailbox.routes().subscriptions == ()
        check_conservation(other.info())
    finally:
        other.close()


def test_a_publisher_with_old_routes_is_refused_and_nothing_is_stored(stage: Stage) -> None:
    old = stage.mailbox.routes().version
    stage.mailbox.register([Subscription("receipt", "orders", {"order.placed": 1})])
    with pytest.raises(StaleRoutes, match="load"):
        stage.mailbox.publish([posting()], routes_version=old)
    assert stage.queue().accepted == 0
    assert stage.mailbox.publish([posting()], routes_version=stage.mailbox.routes().version) == [[ACCEPTED]]
