"""What metrics are told of queues is what is in them, at one moment and at a bounded cost."""

from typing import Any

import pytest

from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.records import Redress, Replay, Span, records_in
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.messages.delivery import OutcomeKind
from callboard.observability.state import QueueState
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEAD,
    DISCARDED,
    LONG,
    QUEUE,
    ServerStage,
    Stage,
    VirtualStage,
    posting,
    retried,
    settlement,
    target,
)


def gauge(stage: Stage, queue: str = QUEUE) -> QueueState:
    """What is told of one queue."""
    (found,) = (each for each in stage.mailbox.gauges.read().queues if each.queue == queue)
    return found


def test_deliveries_are_counted_where_they_stand(stage: Stage) -> None:
    stage.publish(*(posting(target(str(number))) for number in range(4)))
    stage.publish(posting(target("later"), delay_ms=LONG), posting(target("elsewhere", queue="other")))
    stage.take()
    found = gauge(stage)
    assert (found.ready, found.leased, found.scheduled, found.dead) == (3, 1, 1, 0)
    assert [each.queue for each in stage.mailbox.gauges.read().queues] == [QUEUE, "other"]
    assert stage.mailbox.gauges.read().server == stage.mailbox.info().server


def test_an_empty_mailbox_tells_of_no_queue(stage: Stage) -> None:
    assert stage.mailbox.gauges.read().queues == ()


def test_the_age_of_what_is_ready_counts_from_when_it_was_due(stage: Stage) -> None:
    stage.publish(posting(target("first"), delay_ms=BRIEF))
    stage.let_pass(2 * BRIEF)
    stage.publish(posting(target("second")))
    stage.fetch(0)
    found = gauge(stage)
    assert found.ready == 2
    # What became due goes behind what was published meanwhile, and the head is what is looked at.
    assert 0 <= found.oldest_ready_ms < LONG
    stage.let_pass(BRIEF)
    assert gauge(stage).oldest_ready_ms >= BRIEF


def test_nothing_ready_has_no_age(stage: Stage) -> None:
    stage.publish()
    stage.take()
    stage.let_pass(BRIEF)
    assert gauge(stage).oldest_ready_ms == 0


def test_what_comes_back_for_another_attempt_does_not_count_from_its_first(stage: Stage) -> None:
    stage.publish(posting(target("again")))
    delivery = stage.take()
    stage.let_pass(4 * BRIEF)
    stage.settle(settlement(delivery, retried(1)))
    stage.let_pass(2)
    stage.fetch(0)
    assert (gauge(stage).ready, gauge(stage).oldest_ready_ms) == (1, 0)
    stage.publish(posting(target("fresh")))
    stage.let_pass(BRIEF)
    assert BRIEF <= gauge(stage).oldest_ready_ms < 4 * BRIEF


def test_the_dead_are_counted_apart_from_the_discarded(stage: Stage) -> None:
    stage.publish(*(posting(target(str(number))) for number in range(3)))
    first, second, third = stage.fetch(3).deliveries
    stage.settle(settlement(first, DEAD))
    stage.let_pass(BRIEF)
    stage.settle(settlement(second, DEAD), settlement(third, DISCARDED))
    found = gauge(stage)
    assert found.dead == 2
    assert BRIEF <= found.oldest_dead_ms < LONG


def test_a_dead_one_whose_time_is_over_counts_no_more(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    dead = virtual_stage.take()
    virtual_stage.settle(Settlement(dead, DEAD, history=dead.history, retention_ms=LONG))
    assert gauge(virtual_stage).dead == 1
    virtual_stage.let_pass(LONG + 1)
    assert (gauge(virtual_stage).dead, gauge(virtual_stage).oldest_dead_ms) == (0, 0)


def test_what_no_worker_sees_end_is_counted_by_the_mailbox(stage: Stage) -> None:
    records, run = stage.mailbox.records, "run-1"
    stage.publish(*(posting(target(str(number))) for number in range(6)))
    taken = stage.fetch(3).deliveries
    stage.settle(settlement(taken[0], DISCARDED), settlement(taken[1], DEAD), settlement(taken[2], DEAD))
    assert (gauge(stage).discarded, gauge(stage).replayed) == (1, 0)
    first, second = records_in(records, Span(QUEUE, OutcomeKind.DEAD))
    for _ in range(2):  # the reply was lost, so the call is made again
        assert records.discard([first.id], run) == [Redress.DONE]
        assert records.replay([Replay(second.id, second.delivery, QUEUE, 1)], run) == [Redress.DONE]
    assert (gauge(stage).discarded, gauge(stage).replayed) == (2, 1)
    stage.mailbox.schedule.cancel("receipt:5")
    assert gauge(stage).discarded == 3
    assert stage.mailbox.purge(QUEUE) == 3
    assert (gauge(stage).discarded, gauge(stage).replayed) == (6, 1)


def test_workers_are_counted_for_the_queues_they_take_from(stage: Stage) -> None:
    stage.publish(posting(target("1")), posting(target("2", queue="other")))
    stage.mailbox.heartbeat("worker-1", [QUEUE, "other"])
    stage.mailbox.heartbeat("worker-2", [QUEUE])
    assert (gauge(stage).workers, gauge(stage, "other").workers) == (2, 1)
    stage.mailbox.heartbeat("worker-1", [QUEUE, "other"], leaving=True)
    assert (gauge(stage).workers, gauge(stage, "other").workers) == (1, 0)


def test_what_waits_in_a_lane_and_a_pause_are_told(stage: Stage) -> None:
    stage.mailbox.register([Subscription("receipt", QUEUE, {}, concurrency=1)])
    stage.publish(*(posting(target(str(number))) for number in range(3)))
    stage.fetch(3)
    assert (gauge(stage).leased, gauge(stage).waiting, gauge(stage).paused) == (1, 2, 0)
    stage.mailbox.controls.pause(QUEUE)
    assert gauge(stage).paused == 1


def test_what_was_taken_over_is_ready(stage: Stage) -> None:
    stage.publish()
    stage.take(lease_ms=BRIEF)
    stage.let_pass(2 * BRIEF)
    stage.fetch(0)
    assert (gauge(stage).ready, gauge(stage).leased) == (1, 0)


@pytest.mark.parametrize("queues", [1, 50])
def test_a_look_is_one_round_trip_however_many_queues_there_are(
    stage: Stage, queues: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.publish(*(posting(target(str(number), queue=f"queue-{number}")) for number in range(queues)))
    stage.mailbox.gauges.read()  # the server's name is asked for once
    calls: list[str] = []
    run = getattr(stage.mailbox, "_run", None)

    def noted(script: str, given: list[Any]) -> Any:
        calls.append(script)
        assert run is not None
        return run(script, given)

    if run is not None:
        monkeypatch.setattr(stage.mailbox, "_run", noted)
    assert len(stage.mailbox.gauges.read().queues) == queues
    assert calls == ([] if run is None else ["gauges"])


def test_a_server_tells_of_its_memory_and_a_mailbox_without_one_does_not(stage: Stage) -> None:
    memory = stage.mailbox.gauges.read().memory
    if stage.mailbox.info().server == "memory":
        assert memory is None
        return
    assert memory is not None
    assert 100_000 < memory.used_bytes < 1_000_000_000
    assert isinstance(stage, ServerStage)
    assert memory.limit_bytes == stage.client.info("memory")["maxmemory"]
