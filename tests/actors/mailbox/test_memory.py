"""What memory alone can be asked, for its time passes when told to: windows, retentions and years."""

import threading
import time

import pytest

from callboard.actors.mailbox.mailbox import ENDED_RETENTION_MS, MIN_WINDOW_MS, Posting, Settlement, Verdict
from callboard.actors.mailbox.memory import MemoryMailbox, SystemClock, VirtualClock
from callboard.actors.mailbox.memory.remembered import Remembered
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.actors.mailbox.suspects import HUNT_MS
from tests.actors.mailbox.conformance import (
    DEAD,
    LONG,
    SUCCEEDED,
    VirtualStage,
    posting,
    retried,
    settlement,
    target,
)

HOUR = 3_600_000
DAY = 24 * HOUR


def complete(stage: VirtualStage, event: Posting, window_ms: int) -> None:
    stage.publish(event)
    assert stage.settle(Settlement(stage.take(), SUCCEEDED, window_ms=window_ms)) == [True]


@pytest.mark.parametrize("window_ms", [MIN_WINDOW_MS, HOUR, 24 * HOUR])
def test_a_completion_is_remembered_for_its_window_and_no_longer(
    virtual_stage: VirtualStage, window_ms: int
) -> None:
    event = posting(target(window_ms=window_ms))
    complete(virtual_stage, event, window_ms)
    virtual_stage.let_pass(window_ms - 1)
    assert virtual_stage.publish(event) == [[Verdict.DUPLICATE]]
    virtual_stage.let_pass(1)
    assert virtual_stage.publish(event) == [[Verdict.ACCEPTED]]


def test_a_window_is_never_shorter_than_the_least(virtual_stage: VirtualStage) -> None:
    event = posting(target(window_ms=0))
    complete(virtual_stage, event, 0)
    virtual_stage.let_pass(MIN_WINDOW_MS - 1)
    assert virtual_stage.publish(event) == [[Verdict.DUPLICATE]]
    virtual_stage.let_pass(1)
    assert virtual_stage.publish(event) == [[Verdict.ACCEPTED]]


def test_the_publisher_may_ask_for_a_shorter_window_than_was_kept(virtual_stage: VirtualStage) -> None:
    complete(virtual_stage, posting(target(window_ms=DAY)), DAY)
    virtual_stage.let_pass(HOUR)
    assert virtual_stage.publish(posting(target(window_ms=DAY))) == [[Verdict.DUPLICATE]]
    assert virtual_stage.publish(posting(target(window_ms=HOUR))) == [[Verdict.ACCEPTED]]


def test_the_window_counts_from_the_latest_completion(virtual_stage: VirtualStage) -> None:
    event = posting(target(window_ms=HOUR))
    for _ in range(3):
        complete(virtual_stage, event, HOUR)
        virtual_stage.let_pass(HOUR)
    complete(virtual_stage, event, HOUR)
    virtual_stage.let_pass(HOUR - 1)
    assert virtual_stage.publish(event) == [[Verdict.DUPLICATE]]


def test_a_settlement_is_known_again_for_the_least_window(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    once = settlement(virtual_stage.take(), retried(DAY))
    virtual_stage.settle(once)
    virtual_stage.let_pass(MIN_WINDOW_MS - 1)
    assert virtual_stage.settle(once) == [True]


def test_a_schedule_of_a_year_is_due_to_the_millisecond(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish(posting(delay_ms=366 * DAY))
    virtual_stage.let_pass(366 * DAY - 1)
    fetched = virtual_stage.fetch()
    assert (fetched.deliveries, fetched.next_in_ms) == ([], 1)
    virtual_stage.let_pass(1)
    assert virtual_stage.take().due_at == virtual_stage.now()


def test_ten_thousand_schedules_fire_once_each_in_their_order(virtual_stage: VirtualStage) -> None:
    waits = [1 + (number * 7919) % 10_007 for number in range(10_000)]
    virtual_stage.publish(*(posting(target(str(wait)), delay_ms=wait) for wait in waits))
    virtual_stage.let_pass(5_000)
    early = virtual_stage.fetch(20_000).deliveries
    assert [delivery.due_at for delivery in early] == sorted(delivery.due_at for delivery in early)
    assert max(delivery.due_at for delivery in early) <= virtual_stage.now()
    virtual_stage.let_pass(6_000)
    fired = [delivery.key for delivery in early + virtual_stage.fetch(20_000).deliveries]
    assert fired == [str(wait) for wait in sorted(waits)]


def test_a_lease_ends_to_the_millisecond(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    virtual_stage.take(lease_ms=30_000)
    virtual_stage.let_pass(29_999)
    assert (virtual_stage.fetch().suspects, virtual_stage.queue().leased) == (0, 1)
    virtual_stage.let_pass(1)
    assert virtual_stage.fetch().suspects == 1


def test_suspects_are_told_to_another_when_their_hunter_is_lost(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    virtual_stage.lose()
    assert virtual_stage.fetch(owner="hunter").suspects == 1
    virtual_stage.let_pass(HUNT_MS - 1)
    assert virtual_stage.fetch(owner="other").suspects == 0
    assert virtual_stage.fetch(owner="hunter").suspects == 1
    virtual_stage.let_pass(HUNT_MS - 1)
    assert virtual_stage.fetch(owner="other").suspects == 0
    virtual_stage.let_pass(1)
    assert virtual_stage.fetch(owner="other").suspects == 1
    assert virtual_stage.fetch(owner="hunter").suspects == 0


def test_a_record_is_kept_for_its_retention(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    virtual_stage.settle(settlement(virtual_stage.take(), DEAD))
    virtual_stage.let_pass(ENDED_RETENTION_MS - 1)
    assert len(virtual_stage.mailbox.ended("orders")) == 1
    virtual_stage.let_pass(1)
    assert virtual_stage.mailbox.ended("orders") == []


def test_a_subscription_unconfirmed_for_seven_days_is_left_out(virtual_stage: VirtualStage) -> None:
    mailbox = virtual_stage.mailbox
    stale = Subscription("stale", "orders", {"order.placed": HOUR})
    fresh = Subscription("fresh", "orders", {"order.placed": HOUR})
    mailbox.register([stale, fresh])
    virtual_stage.let_pass(DAY)
    mailbox.register([fresh])
    before = mailbox.routes()
    virtual_stage.let_pass(6 * DAY - 1)
    assert mailbox.routes() == before
    virtual_stage.let_pass(1)
    after = mailbox.routes()
    assert after.subscriptions == (fresh,)
    assert after.version > before.version
    assert mailbox.routes() == after
    mailbox.register([stale])
    assert mailbox.routes().version > after.version


def test_a_worker_is_listed_for_a_minute_after_its_last_heartbeat(virtual_stage: VirtualStage) -> None:
    mailbox = virtual_stage.mailbox
    mailbox.heartbeat("worker-1")
    virtual_stage.let_pass(30_000)
    mailbox.heartbeat("worker-1")
    virtual_stage.let_pass(59_999)
    assert [worker.owner for worker in mailbox.info().workers] == ["worker-1"]
    virtual_stage.let_pass(1)
    assert mailbox.info().workers == ()


def test_a_wait_in_virtual_time_never_blocks(virtual_stage: VirtualStage) -> None:
    mailbox = virtual_stage.mailbox
    virtual_stage.publish(posting(delay_ms=LONG))
    assert mailbox.wait("orders", 1e9) is False
    virtual_stage.let_pass(LONG)
    assert mailbox.wait("orders", 1e9) is True


def test_the_clock_of_memory_is_this_machines_unless_another_is_given() -> None:
    before = time.time_ns() // 1_000_000
    at = MemoryMailbox().info().at
    assert before <= at <= SystemClock().now()
    assert MemoryMailbox(clock=VirtualClock(42)).info().at == 42


def test_a_virtual_clock_goes_forward_only() -> None:
    clock = VirtualClock(1000)
    assert (clock.advance(0), clock.advance(5), clock.now()) == (1000, 1005, 1005)
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-1)


def test_a_wait_ends_when_a_schedule_comes_due_meanwhile() -> None:
    mailbox = MemoryMailbox()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(mailbox.wait("orders", 30.0)))
    thread.start()
    mailbox.publish([posting(delay_ms=20)])
    thread.join(20.0)
    assert answers == [True]
    assert len(mailbox.fetch("orders", 1, owner="w", lease_ms=LONG).deliveries) == 1


def test_what_is_remembered_makes_room_when_it_has_ended() -> None:
    remembered: Remembered[str, int] = Remembered()
    for number in range(100):
        remembered.put(str(number), number, now=number, until=number + 10)
    remembered.put("7", 7, now=100, until=200)
    remembered.put("renewed", 1, now=100, until=110)
    remembered.put("renewed", 2, now=105, until=300)
    assert remembered.values(150) == [7, 2]
    remembered.put("last", 3, now=150, until=160)
    assert len(remembered._entries) == 3
    assert (remembered.get("99", 150), remembered.get("renewed", 299), remembered.get("renewed", 300)) == (
        None,
        2,
        None,
    )


def test_renewing_often_does_not_grow_the_mailbox_without_end(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    delivery = virtual_stage.take(lease_ms=1000)
    for _ in range(50):
        virtual_stage.let_pass(500)
        assert virtual_stage.mailbox.renew([delivery], 1000) == []
        assert virtual_stage.fetch().suspects == 0
    mailbox = virtual_stage.mailbox
    assert isinstance(mailbox, MemoryMailbox)
    assert len(mailbox._deliveries.queue("orders")._lease_ends) <= 2
