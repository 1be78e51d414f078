"""Which event came of which is known by a correlation id, and that by each event, as long as they are."""

from collections.abc import Callable

import msgspec
import pytest

from callboard.actors.mailbox.correlations import CameOf, Correlated, RelatedEvent
from callboard.actors.mailbox.mailbox import Posting, Settlement, Verdict
from callboard.actors.mailbox.records import Facts
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import History
from tests.actors.mailbox.conformance import (
    DEAD,
    SUCCEEDED,
    ServerStage,
    Stage,
    VirtualStage,
    posting,
    settlement,
    target,
)
from tests.servers import Server

ROOT = "01932f2e-5d3c-7c44-9d3a-00000000000a"
CHILD = "01932f2e-5d3c-7c44-9d3a-00000000000b"
GRANDCHILD = "01932f2e-5d3c-7c44-9d3a-00000000000c"
MOST = 100
DAY = 24 * 3_600_000


def inherited(
    event: str, cause: str = ROOT, *, correlation: str = ROOT, cause_name: str = "order.placed", key: str = ""
) -> Posting:
    """An event on its way in that came of another."""
    made = posting(target(key or event), body=event.encode())
    came_of = CameOf(event, correlation, cause, cause_name)
    return msgspec.structs.replace(made, event="order.shipped", came_of=came_of)


def known(stage: Stage, identity: str, most: int = MOST) -> Correlated:
    return stage.mailbox.correlations.of(identity, most)


FAMILY = (
    RelatedEvent(ROOT, "order.placed"),
    RelatedEvent(CHILD, "order.shipped", ROOT[-12:]),
    RelatedEvent(GRANDCHILD, "order.shipped", CHILD[-12:]),
)


def publish_family(stage: Stage) -> None:
    stage.publish(posting(target(ROOT)))
    stage.publish(inherited(CHILD))
    stage.publish(inherited(GRANDCHILD, CHILD, cause_name="order.shipped"))


@pytest.mark.parametrize("identity", [ROOT, CHILD, GRANDCHILD])
def test_events_of_one_correlation_are_found_by_any_of_them(stage: Stage, identity: str) -> None:
    publish_family(stage)
    assert known(stage, identity) == Correlated(ROOT, FAMILY, is_whole=True)


def test_of_an_event_that_began_something_and_led_to_nothing_there_is_nothing(stage: Stage) -> None:
    stage.publish(posting(target(ROOT)))
    assert known(stage, ROOT) == Correlated(ROOT, (), is_whole=True)


def test_correlations_are_told_apart(stage: Stage) -> None:
    stage.publish(inherited(CHILD), inherited("other", "mine", correlation="mine", cause_name="it.began"))
    assert [event.id for event in known(stage, "mine").events] == ["mine", "other"]
    assert [event.id for event in known(stage, CHILD).events] == [ROOT, CHILD]


def test_a_correlation_may_be_a_publishers_own_word(stage: Stage) -> None:
    stage.publish(inherited(CHILD, "", correlation="request 7, of [ann*]", cause_name=""))
    expected = (RelatedEvent(CHILD, "order.shipped"),)
    assert known(stage, CHILD) == known(stage, "request 7, of [ann*]")
    assert known(stage, CHILD) == Correlated("request 7, of [ann*]", expected, is_whole=True)


def test_what_a_handler_published_is_known_with_its_success_alone(stage: Stage) -> None:
    stage.publish_keys("A-1", "A-2")
    first, second = stage.fetch().deliveries
    assert stage.mailbox.settle([settlement(first, DEAD)]) == [True]
    assert known(stage, ROOT).events == ()
    assert stage.mailbox.settle([Settlement(second, SUCCEEDED, postings=(inherited(CHILD),))]) == [True]
    assert known(stage, ROOT).events == FAMILY[:2]


def test_what_is_said_twice_is_known_once(stage: Stage) -> None:
    for _ in range(2):
        stage.publish(msgspec.structs.replace(inherited(CHILD), sent_before=True))
    assert known(stage, ROOT).events == FAMILY[:2]


def test_an_event_that_nobody_subscribes_to_is_known(stage: Stage) -> None:
    stage.publish(msgspec.structs.replace(inherited(CHILD), targets=()))
    assert known(stage, ROOT).events == FAMILY[:2]


def test_what_was_refused_is_not_known(stage: Stage) -> None:
    stage.publish(posting(target("k"), body=b"one"))
    assert stage.publish(inherited(CHILD, key="k")) == [[Verdict.CONFLICT]]
    assert known(stage, CHILD) == Correlated(CHILD, (), is_whole=True)


@pytest.mark.parametrize("count", [1, 600, 3000])
def test_no_more_are_told_than_were_asked_for(stage: Stage, count: int) -> None:
    ids = [f"01932f2e-5d3c-7c44-9d3a-{number:012d}" for number in range(count)]
    events = [inherited(each) for each in ids]
    for first in range(0, count, 500):
        stage.mailbox.publish(events[first : first + 500])
    told = known(stage, ROOT, 500)
    assert told.is_whole == (count < 500)
    assert len(told.events) == min(count + 1, 500)
    assert len({event.id for event in told.events}) == len(told.events)
    assert {event.id for event in told.events} <= {ROOT, *ids}


def test_it_is_known_as_long_as_the_delivery(virtual_stage: VirtualStage) -> None:
    stage = virtual_stage
    later = msgspec.structs.replace(inherited(CHILD), delay_ms=DAY, targets=(target(CHILD, window_ms=DAY),))
    stage.publish(later)
    stage.let_pass(2 * DAY - 1000)
    assert known(stage, ROOT).events == FAMILY[:2]
    stage.let_pass(2000)
    assert known(stage, ROOT).events == ()


def test_of_a_dead_letter_it_is_known_as_long_as_its_record(virtual_stage: VirtualStage) -> None:
    stage = virtual_stage
    stage.publish(inherited(CHILD))
    (delivery,) = stage.fetch().deliveries
    facts = Facts(CHILD, "order.shipped", correlation=ROOT, causation=ROOT)
    dead = Settlement(delivery, DEAD, history=History(attempts=1), facts=facts, retention_ms=30 * DAY)
    assert stage.mailbox.settle([dead]) == [True]
    stage.let_pass(29 * DAY)
    assert known(stage, CHILD).events == FAMILY[1:2]


@pytest.mark.parametrize(("how", "least_days"), [("at once", 1), ("later", 8), ("dead", 30)])
def test_on_a_server_it_expires_as_a_whole(
    valkey: Server, open_stage: Callable[[str], ServerStage], how: str, least_days: int
) -> None:
    stage = open_stage(valkey.url)
    stage.publish(msgspec.structs.replace(inherited(CHILD), delay_ms=8 * DAY if how == "later" else 0))
    if how == "dead":
        facts = Facts(CHILD, "order.shipped", correlation=ROOT, causation=ROOT)
        stage.mailbox.settle([Settlement(stage.take(), DEAD, facts=facts, retention_ms=30 * DAY)])
    assert isinstance(stage.mailbox, RedisMailbox)
    keys = stage.client.scan_iter(f"*{stage.mailbox.workspace}}}:related:*")
    of_this = [int(stage.client.pttl(key)) for key in keys]
    stage.close()
    assert len(of_this) == (4 if how == "dead" else 2)
    assert min(of_this) > 0, "one has no end"
    assert max(of_this) >= least_days * DAY
