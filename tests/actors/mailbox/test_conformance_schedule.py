"""Cancelling, moving and listing what has not begun, in every mailbox."""

import pytest
from msgspec.structs import replace

from callboard.actors.mailbox.mailbox import Verdict
from callboard.actors.mailbox.records import State
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.schedule import Became, Scheduled
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.actors.mailbox.suspects import Suspects
from callboard.messages.delivery import OutcomeKind, Reason
from callboard.messages.errors import MailboxUnavailable
from callboard.messages.timing import After
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEAD,
    LONG,
    QUEUE,
    RELEASED,
    ServerStage,
    Stage,
    VirtualStage,
    ids,
    posting,
    retried,
    settlement,
    target,
    waiting,
)

YEAR = 366 * 24 * 3_600_000
ENVELOPE = (
    b'{"specversion":"1.0","id":"event-1","source":"shop","type":"order.placed",'
    b'"time":"2030-01-01T00:00:00Z","data":{}}'
)
LATER = After(delay_ms=LONG)


def cancel(stage: Stage, identity: str = "receipt:A-1", detail: str = "") -> list[tuple[str, str]]:
    """Cancel, and check that nothing was lost; what became of each."""
    changed = stage.mailbox.schedule.cancel(identity, detail)
    stage.queue()
    return [(each.id, each.became.value) for each in changed]


def move(stage: Stage, after: After = LATER, identity: str = "receipt:A-1") -> list[tuple[str, str]]:
    """Move, and check that nothing was lost; what became of each."""
    changed = stage.mailbox.schedule.move(identity, after)
    stage.queue()
    return [(each.id, each.became.value) for each in changed]


def listed(stage: Stage, queue: str = QUEUE) -> list[str]:
    """The keys that are scheduled, the soonest first."""
    return [each.id.partition(":")[2] for each in stage.mailbox.schedule.soonest([queue])]


# Where one delivery can wait. Each makes `receipt:A-1` wait there.


def scheduled(stage: Stage) -> None:
    stage.publish(posting(delay_ms=LONG))


def ready(stage: Stage) -> None:
    stage.publish_keys("before")
    stage.publish()
    stage.publish_keys("behind")


def retry_scheduled(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), retried(LONG)))


def given_back(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), RELEASED))


def suspect(stage: Stage) -> None:
    stage.publish()
    stage.lose()
    stage.fetch()


def lone_suspect(stage: Stage) -> None:
    stage.publish()
    stage.lose()
    stage.lose(alone=True)
    stage.fetch()


def behind_in_an_ordered_lane(stage: Stage) -> None:
    stage.publish(posting(target("first", lane="receipt:a")), posting(target(lane="receipt:a")))
    stage.fetch()


def in_line_for_a_slot(stage: Stage) -> None:
    stage.mailbox.register([Subscription("receipt", QUEUE, {"order.placed": 1000}, concurrency=1)])
    stage.publish(posting(target("first")), posting())
    stage.fetch()


WAITS = [
    scheduled,
    ready,
    retry_scheduled,
    given_back,
    suspect,
    lone_suspect,
    behind_in_an_ordered_lane,
    in_line_for_a_slot,
]


@pytest.fixture(params=WAITS, ids=lambda each: each.__name__)
def waits(request: pytest.FixtureRequest, stage: Stage) -> Stage:
    """A stage where `receipt:A-1` waits, in each place in turn."""
    request.param(stage)
    return stage


# Cancelling.


def test_what_waits_is_cancelled_wherever_it_is_and_leaves_a_record(waits: Stage) -> None:
    before = waits.queue()
    assert cancel(waits, detail="by ann") == [("receipt:A-1", "cancelled")]
    after = waits.queue()
    assert (after.live, after.discarded, after.leased) == (before.live - 1, 1, before.leased)
    (record,) = waits.mailbox.ended(QUEUE)
    assert (record.delivery, record.kind, record.reason, record.detail) == (
        "receipt:A-1",
        OutcomeKind.DISCARDED,
        Reason.CANCELLED,
        "by ann",
    )
    assert bytes(record.body) == b"{}"
    fetched = waits.mailbox.fetch(QUEUE, 100, owner="w", lease_ms=LONG, suspects=Suspects(together=9))
    assert "receipt:A-1" not in ids(fetched.deliveries)
    assert waits.fetch(1, alone=True).deliveries == []


def test_cancelling_again_answers_the_same_and_changes_nothing(waits: Stage) -> None:
    assert cancel(waits) == [("receipt:A-1", "cancelled")]
    before = waits.queue()
    assert cancel(waits) == [("receipt:A-1", "cancelled")]
    assert waits.queue() == before
    assert len(waits.mailbox.ended(QUEUE)) == 1


def test_what_was_cancelled_can_be_published_and_cancelled_anew(stage: Stage) -> None:
    for _ in range(2):
        assert stage.publish(posting(delay_ms=LONG)) == [[Verdict.ACCEPTED]]
        assert cancel(stage) == [("receipt:A-1", "cancelled")]
    assert len(stage.mailbox.ended(QUEUE)) == 2


def test_a_publish_that_is_sent_again_after_its_event_was_cancelled_makes_no_second_one(
    stage: Stage,
) -> None:
    stage.publish(posting(delay_ms=LONG))
    cancel(stage)
    again = replace(posting(delay_ms=LONG), sent_before=True)
    if isinstance(stage, ServerStage):  # memory loses no reply
        assert stage.publish(again) == [[Verdict.DUPLICATE]]


def test_what_runs_cannot_be_cancelled(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    assert cancel(stage) == [("receipt:A-1", "running")]
    assert stage.settle(settlement(delivery)) == [True]
    assert cancel(stage) == [("receipt:A-1", "done")]
    assert stage.mailbox.ended(QUEUE) == []


def test_what_is_dead_is_done(stage: Stage) -> None:
    stage.publish()
    stage.settle(settlement(stage.take(), DEAD))
    assert cancel(stage) == [("receipt:A-1", "done")]
    assert len(stage.mailbox.ended(QUEUE)) == 1


def test_what_was_cancelled_and_then_done_is_done(stage: Stage) -> None:
    stage.publish()
    cancel(stage)
    stage.let_pass(2)
    stage.publish()
    stage.settle(settlement(stage.take()))
    assert cancel(stage) == [("receipt:A-1", "done")]


def test_nothing_known_is_unknown(stage: Stage) -> None:
    assert cancel(stage, "receipt:B-1") == [("receipt:B-1", "unknown")]
    assert cancel(stage, "event-1") == [("event-1", "unknown")]


def test_an_event_is_cancelled_for_each_of_its_actors_as_far_as_it_can_be(stage: Stage) -> None:
    actors = ("mail", "bill", "ship", "audit")
    windows = {"order.placed": 86_400_000}
    stage.mailbox.register([Subscription(name, name, windows, order) for order, name in enumerate(actors)])
    targets = [target("event-1", actor=name, queue=name) for name in actors]
    stage.publish(posting(*targets[:3], body=ENVELOPE))
    stage.settle(settlement(stage.fetch(queue="mail").deliveries[0]))
    stage.fetch(queue="bill")
    assert cancel(stage, "event-1") == [
        ("mail:event-1", "done"),
        ("bill:event-1", "running"),
        ("ship:event-1", "cancelled"),
    ]


def test_an_event_whose_id_is_not_the_key_is_cancelled_by_its_id(stage: Stage) -> None:
    stage.publish(replace(posting(body=ENVELOPE, delay_ms=LONG), id="event-1"))
    assert cancel(stage, "event-1") == [("receipt:A-1", "cancelled")]
    assert cancel(stage, "event-1") == [("receipt:A-1", "cancelled")]


def test_who_waited_behind_what_is_cancelled_goes_on(stage: Stage) -> None:
    stage.publish(*(posting(target(key, lane="receipt:a")) for key in ("A-1", "2", "3")))
    stage.settle(settlement(stage.take(), retried(LONG)))
    assert stage.fetch().deliveries == []
    assert cancel(stage) == [("receipt:A-1", "cancelled")]
    assert cancel(stage, "receipt:3") == [("receipt:3", "cancelled")]
    assert ids(stage.fetch().deliveries) == ["receipt:2"]
    (lane,) = stage.queue().lanes
    assert (lane.waiting, lane.held) == (0, 1)


@pytest.mark.parametrize("became", [Became.CANCELLED, Became.MOVED])
def test_what_was_just_published_is_taken_out_at_once_however_many_wait_before_it(
    server_stage: ServerStage, became: Became
) -> None:
    def spent() -> int:
        told = server_stage.client.info("commandstats")
        return int(told.get("cmdstat_lrem", {"usec": 0})["usec"])

    server_stage.publish(posting(target("first")))
    ready = f"callboard:{{{server_stage.mailbox.info().workspace}}}:ready:{QUEUE}"
    assert server_stage.client.llen(ready) == 1
    for _ in range(100):
        server_stage.client.rpush(ready, *[f"receipt:{'x' * 30}"] * 6000)
    server_stage.mailbox.publish([posting(target("last"))])
    before = spent()
    if became is Became.CANCELLED:
        (changed,) = server_stage.mailbox.schedule.cancel("receipt:last")
    else:
        (changed,) = server_stage.mailbox.schedule.move("receipt:last", LATER)
    assert changed.became is became
    took = spent() - before
    server_stage.client.ltrim(ready, 0, 0)
    assert took < 3000  # microseconds; from the other end it was more than twice that


def test_a_suspect_that_is_cancelled_frees_its_slot(stage: Stage) -> None:
    stage.mailbox.register([Subscription("receipt", QUEUE, {"order.placed": 1000}, concurrency=1)])
    stage.publish(posting(), posting(target("2")))
    stage.lose(limit=1)
    assert stage.fetch().deliveries == []
    assert cancel(stage) == [("receipt:A-1", "cancelled")]
    assert ids(stage.fetch().deliveries) == ["receipt:2"]


def test_a_late_worker_cannot_settle_what_was_taken_from_it_and_cancelled(stage: Stage) -> None:
    stage.publish()
    (late,) = stage.lose()
    stage.fetch()
    assert cancel(stage) == [("receipt:A-1", "cancelled")]
    assert stage.settle(settlement(late)) == [False]
    assert stage.queue().succeeded == 0


# Moving.


def test_what_waits_is_moved_wherever_it_is(waits: Stage) -> None:
    assert move(waits) == [("receipt:A-1", "moved")]
    queue = waits.queue()
    assert queue.scheduled == 1
    assert listed(waits) == ["A-1"]
    (found,) = waits.mailbox.records.find("receipt:A-1")
    assert found.live is not None
    assert found.live.state is State.SCHEDULED
    fetched = waits.mailbox.fetch(QUEUE, 100, owner="w", lease_ms=LONG, suspects=Suspects(together=9))
    assert "receipt:A-1" not in ids(fetched.deliveries)


def test_moving_again_counts_from_now(waits: Stage) -> None:
    move(waits)
    first = waits.queue()
    assert move(waits, After(delay_ms=2 * LONG)) == [("receipt:A-1", "moved")]
    assert waits.queue() == first
    (found,) = waits.mailbox.schedule.page(QUEUE, 10)
    assert found.due_at > waits.now() + LONG


def test_what_was_moved_nearer_comes_then_and_not_before(stage: Stage) -> None:
    stage.publish(posting(delay_ms=LONG))
    moved_at = stage.now()
    move(stage, After(delay_ms=BRIEF))
    delivery = stage.take_when_due()
    assert stage.now() >= delivery.due_at >= moved_at + BRIEF


def test_what_was_moved_to_a_moment_comes_then_and_a_past_one_is_now(stage: Stage) -> None:
    stage.publish(posting(delay_ms=LONG))
    move(stage, After(due_at=stage.now() + LONG))
    assert stage.fetch().deliveries == []
    move(stage, After(due_at=stage.now() - 1))
    assert ids([stage.take()]) == ["receipt:A-1"]


def test_moving_nearer_wakes_who_waits(live_stage: Stage) -> None:
    live_stage.publish(posting(delay_ms=LONG))
    live_stage.mailbox.wait(QUEUE, 0.05)
    with waiting(live_stage) as woken:
        move(live_stage, After(delay_ms=BRIEF))
    assert woken == [True]
    assert ids([live_stage.take_when_due()]) == ["receipt:A-1"]


def test_cancelling_what_holds_a_lane_wakes_who_waits(live_stage: Stage) -> None:
    live_stage.publish(*(posting(target(key, lane="receipt:a")) for key in ("A-1", "2")))
    live_stage.settle(settlement(live_stage.take(), retried(LONG)))
    live_stage.fetch()
    live_stage.mailbox.wait(QUEUE, 0.05)
    with waiting(live_stage) as woken:
        cancel(live_stage)
    assert woken == [True]
    assert ids([live_stage.take()]) == ["receipt:2"]


def test_what_was_not_tried_yet_is_due_anew_and_a_retry_keeps_its_age(stage: Stage) -> None:
    stage.publish(posting(target("new"), delay_ms=LONG), posting())
    tried = stage.take()
    stage.settle(settlement(tried, retried(LONG)))
    move(stage, After(delay_ms=BRIEF), "receipt:new")
    new = stage.take_when_due()
    assert (new.id, new.due_at - new.accepted_at < LONG, new.attempt) == ("receipt:new", True, 1)
    move(stage, After(delay_ms=BRIEF))
    again = stage.take_when_due()
    assert (again.id, again.due_at, again.attempt) == ("receipt:A-1", tried.due_at, 2)
    assert again.history.attempts == 1


def test_what_runs_or_is_done_cannot_be_moved(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    assert move(stage) == [("receipt:A-1", "running")]
    stage.settle(settlement(delivery))
    assert move(stage) == [("receipt:A-1", "done")]
    assert move(stage, identity="receipt:B-1") == [("receipt:B-1", "unknown")]


def test_what_was_cancelled_cannot_be_moved_and_says_so(stage: Stage) -> None:
    stage.publish(posting(delay_ms=LONG))
    cancel(stage)
    assert move(stage) == [("receipt:A-1", "cancelled")]
    assert listed(stage) == []


def test_what_was_not_tried_leaves_its_lane_when_it_is_moved_and_a_retry_keeps_it(stage: Stage) -> None:
    lane = "receipt:a"
    stage.publish(*(posting(target(key, lane=lane)) for key in ("A-1", "2")))
    stage.settle(settlement(stage.take(), RELEASED))
    assert move(stage) == [("receipt:A-1", "moved")]
    second = stage.take()
    assert second.id == "receipt:2"
    stage.settle(settlement(second, retried(LONG)))
    move(stage, After(delay_ms=2 * LONG), "receipt:2")
    move(stage, After(due_at=1))
    assert stage.fetch().deliveries == []
    assert stage.queue().waiting == 1


def test_what_was_moved_a_year_ahead_is_still_found_by_its_event(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish(replace(posting(body=ENVELOPE, delay_ms=BRIEF), id="event-1"))
    assert move(virtual_stage, After(delay_ms=YEAR), "event-1") == [("receipt:A-1", "moved")]
    virtual_stage.let_pass(YEAR - 1)
    assert move(virtual_stage, After(delay_ms=YEAR), "event-1") == [("receipt:A-1", "moved")]


# Listing.


def test_schedules_are_listed_the_soonest_first_with_when_they_are_due(stage: Stage) -> None:
    now = stage.now()
    for key, ahead in (("c", 3000), ("a", 1000), ("b", 2000)):
        stage.publish(posting(target(key), due_at=now + LONG + ahead))
    stage.publish(posting(target("ready")))
    tried = stage.take()
    stage.settle(settlement(tried, retried(2 * LONG)))
    page = stage.mailbox.schedule.page(QUEUE, 3)
    assert page == [
        Scheduled(f"receipt:{key}", QUEUE, now + LONG + ahead)
        for key, ahead in (("a", 1000), ("b", 2000), ("c", 3000))
    ]
    (retry,) = stage.mailbox.schedule.page(QUEUE, 3, page[-1])
    assert (retry.id, retry.actor, retry.attempts) == ("receipt:ready", "receipt", 1)
    assert stage.mailbox.schedule.page(QUEUE, 3, retry) == []
    assert stage.mailbox.schedule.page("nothing", 3) == []


def test_many_that_are_due_at_once_are_listed_each_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.actors.mailbox.schedule.MOST_ON_A_PAGE", 7)
    due_at = stage.now() + LONG
    keys = [f"{number:03}" for number in range(50)]
    stage.mailbox.publish([posting(target(key), due_at=due_at) for key in keys])
    assert listed(stage) == keys


def test_a_list_goes_on_though_what_it_stood_at_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.actors.mailbox.schedule.MOST_ON_A_PAGE", 4)
    due_at = stage.now() + LONG
    keys = [f"{number:03}" for number in range(12)]
    stage.mailbox.publish([posting(target(key), due_at=due_at + int(key) // 6) for key in keys])
    seen = []
    for each in stage.mailbox.schedule.soonest([QUEUE]):
        seen.append(each.id.partition(":")[2])
        if len(seen) in (4, 8):
            cancel(stage, each.id)
    assert seen == keys


def test_several_queues_are_listed_as_one(stage: Stage) -> None:
    now = stage.now()
    for queue, keys in (("orders", "aceg"), ("stock", "bdfh")):
        some = [posting(target(key, queue=queue), due_at=now + LONG + ord(key)) for key in keys]
        stage.publish(*some)
    both = [each.id[-1] for each in stage.mailbox.schedule.soonest(["orders", "stock", "empty"])]
    assert "".join(both) == "abcdefgh"


# Faults.


@pytest.mark.parametrize(("script", "became"), [("cancel", Became.CANCELLED), ("move", Became.MOVED)])
def test_a_change_whose_reply_was_lost_is_made_again_and_answers_the_same(
    server_stage: ServerStage, script: str, became: Became, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, lost = server_stage.mailbox, [True]
    assert isinstance(mailbox, RedisMailbox)
    run = mailbox._run

    def losing(name: str, arguments: list[object]) -> object:
        answer = run(name, arguments)  # type: ignore[arg-type]  # handed through as they are
        if name == script and lost and lost.pop():
            raise MailboxUnavailable("the reply was lost")
        return answer

    monkeypatch.setattr(mailbox, "_run", losing)
    server_stage.publish(posting(delay_ms=LONG))
    changed = (
        mailbox.schedule.cancel("receipt:A-1")
        if became is Became.CANCELLED
        else mailbox.schedule.move("receipt:A-1", LATER)
    )
    assert [each.became for each in changed] == [became]
    assert not lost
    assert len(mailbox.ended(QUEUE)) == (became is Became.CANCELLED)
    assert server_stage.queue().scheduled == (became is Became.MOVED)
