"""Pausing and resuming: a paused queue takes everything in and hands nothing out, in every mailbox."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from callboard.actors.mailbox.infos import Pause
from callboard.actors.mailbox.mailbox import PAUSED_LOOK_MS, Verdict
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.actors.mailbox.suspects import Suspects
from callboard.messages.errors import MailboxUnavailable
from tests.actors.mailbox.conformance import (
    BRIEF,
    LONG,
    QUEUE,
    RELEASED,
    ServerStage,
    Stage,
    ids,
    posting,
    retried,
    settlement,
    target,
    waiting,
)
from tests.servers import start_server


def test_a_paused_queue_hands_out_nothing_and_says_since_when_by_whom_and_why(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    before = stage.now()
    pause = stage.mailbox.controls.pause(QUEUE, by="ann@desk", reason="the bank is down")
    assert before <= pause.at <= stage.now()
    assert (pause.by, pause.reason) == ("ann@desk", "the bank is down")
    fetched = stage.fetch()
    assert (fetched.deliveries, fetched.waiting, fetched.suspects, fetched.together) == ([], 0, 0, 0)
    assert (stage.queue().paused, stage.queue().ready) == (pause, 2)


def test_a_queue_that_is_paused_again_keeps_its_first_pause(stage: Stage) -> None:
    first = stage.mailbox.controls.pause(QUEUE, by="ann", reason="a deploy")
    stage.let_pass(2)
    assert stage.mailbox.controls.pause(QUEUE, by="bob") == first
    assert stage.queue().paused == first


def test_what_is_resumed_hands_out_in_the_order_of_before(stage: Stage) -> None:
    stage.publish_keys("1", "2")
    pause = stage.mailbox.controls.pause(QUEUE)
    stage.publish_keys("3")
    assert stage.fetch().deliveries == []
    assert stage.mailbox.controls.resume(QUEUE) == pause
    assert ids(stage.fetch().deliveries) == ["receipt:1", "receipt:2", "receipt:3"]
    assert stage.queue().paused is None


def test_resuming_what_is_not_paused_changes_nothing(stage: Stage) -> None:
    assert stage.mailbox.controls.resume(QUEUE) is None
    stage.publish_keys("1")
    assert stage.mailbox.controls.resume(QUEUE) is None
    assert len(stage.fetch().deliveries) == 1


def test_a_queue_can_be_paused_before_anything_was_published_to_it(stage: Stage) -> None:
    pause = stage.mailbox.controls.pause("new")
    assert stage.queue("new").paused == pause
    assert [queue.queue for queue in stage.mailbox.info().queues] == ["new"]


def test_other_queues_go_on(stage: Stage) -> None:
    stage.mailbox.controls.pause(QUEUE)
    stage.publish(posting(target(), target(actor="stock", queue="stock")))
    assert ids(stage.fetch(queue="stock").deliveries) == ["stock:A-1"]
    assert stage.queue("stock").paused is None


def test_publishing_to_a_paused_queue_goes_on_and_knows_duplicates(stage: Stage) -> None:
    stage.mailbox.controls.pause(QUEUE)
    assert stage.publish() == [[Verdict.ACCEPTED]]
    assert stage.publish() == [[Verdict.DUPLICATE]]


def test_what_was_handed_out_before_is_renewed_and_settled(stage: Stage) -> None:
    stage.publish_keys("1", "2", "3")
    done, again, back = stage.fetch().deliveries
    stage.mailbox.controls.pause(QUEUE)
    assert stage.mailbox.renew([done, again, back], LONG) == []
    outcomes = (settlement(done), settlement(again, retried()), settlement(back, RELEASED))
    assert stage.settle(*outcomes) == [True, True, True]
    queue = stage.queue()
    assert (queue.succeeded, queue.ready, queue.leased) == (1, 2, 0)
    assert stage.fetch().deliveries == []


def test_schedules_and_takeovers_go_on_moving_into_a_paused_queue(stage: Stage) -> None:
    stage.publish_keys("lost")
    stage.fetch(lease_ms=BRIEF)
    stage.publish(posting(target("due"), delay_ms=BRIEF))
    stage.mailbox.controls.pause(QUEUE)
    stage.let_pass(BRIEF)
    assert stage.fetch().deliveries == []
    queue = stage.queue()
    assert (queue.ready, queue.suspects, queue.scheduled, queue.leased) == (1, 1, 0, 0)


def test_suspects_are_neither_told_nor_handed_out_while_paused(stage: Stage) -> None:
    stage.publish_keys("1")
    stage.lose()
    stage.mailbox.controls.pause(QUEUE)
    for alone in (True, False):
        fetched = stage.mailbox.fetch(
            QUEUE, 1, owner="w", lease_ms=LONG, alone=alone, suspects=Suspects(together=1)
        )
        assert (fetched.deliveries, fetched.suspects, fetched.together) == ([], 0, 0)
    stage.mailbox.controls.resume(QUEUE)
    assert ids([stage.take(alone=True)]) == ["receipt:1"]


def test_lanes_and_limits_wait_as_well(stage: Stage) -> None:
    stage.mailbox.register([Subscription("receipt", QUEUE, {"order.placed": 1000}, concurrency=1)])
    stage.publish(posting(target("1", lane="receipt:a")), posting(target("2", lane="receipt:a")))
    first = stage.take()
    stage.fetch()
    stage.mailbox.controls.pause(QUEUE)
    stage.settle(settlement(first))
    assert stage.fetch().deliveries == []
    stage.mailbox.controls.resume(QUEUE)
    assert ids([stage.take()]) == ["receipt:2"]


def test_nobody_is_asked_to_look_at_a_paused_queue_more_than_once_a_second(stage: Stage) -> None:
    stage.mailbox.controls.pause(QUEUE)
    assert stage.fetch().next_in_ms is None
    stage.publish(posting(delay_ms=BRIEF))
    assert stage.fetch().next_in_ms == PAUSED_LOOK_MS
    stage.let_pass(BRIEF)
    stage.publish(posting(target("later"), delay_ms=LONG))
    next_in = stage.fetch().next_in_ms
    assert next_in is not None
    assert PAUSED_LOOK_MS < next_in <= LONG


def test_publishing_wakes_nobody_while_paused_and_resuming_does(live_stage: Stage) -> None:
    live_stage.mailbox.controls.pause(QUEUE)
    with waiting(live_stage, 0.2) as woken:
        live_stage.publish()
    assert woken == [False]
    with waiting(live_stage, 60) as woken:
        live_stage.mailbox.controls.resume(QUEUE)
    assert woken == [True]
    assert ids([live_stage.take()]) == ["receipt:A-1"]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_pause_survives_the_server_and_is_lifted_though_it_is_full(
    kind: Literal["valkey", "redis"], tmp_path: Path, open_stage: Callable[[str], ServerStage]
) -> None:
    server = start_server(kind, tmp_path, "--appendfsync", "always")
    stage = open_stage(server.url)
    try:
        stage.publish()
        pause = stage.mailbox.controls.pause(QUEUE, by="ann")
        server.kill()
        server.restart("--maxmemory", "1")
        assert stage.queue().paused == pause
        assert stage.fetch().deliveries == []
        assert stage.mailbox.controls.pause("other").at > 0
        assert stage.mailbox.controls.resume(QUEUE) == pause
        assert ids([stage.take()]) == ["receipt:A-1"]
    finally:
        stage.close()
        server.stop()


@pytest.mark.parametrize("server", ["valkey", "redis_server"])
def test_a_fetch_of_a_queue_that_is_not_paused_costs_no_command_more_than_its_lanes_did(
    server: str, request: pytest.FixtureRequest, open_stage: Callable[[str], ServerStage]
) -> None:
    stage = open_stage(request.getfixturevalue(server).url)
    stage.publish_keys("1")
    with stage.client.monitor() as seen:
        stage.mailbox.fetch(QUEUE, 1, owner="w", lease_ms=LONG)
        stage.client.echo("over")
        commands = list(iter(lambda: (seen.next_command() or {"command": ""})["command"], "ECHO over"))
    looks = [each for each in commands if "paused:" in each or "limits:" in each]
    assert len(looks) == 1
    assert looks[0].startswith("EXISTS")
    stage.close()


def test_a_repeated_pause_after_a_lost_reply_is_the_same(stage: Stage) -> None:
    controls = stage.mailbox.controls
    assert controls.pause(QUEUE, by="ann") == controls.pause(QUEUE, by="ann")
    assert isinstance(controls.resume(QUEUE), Pause)
    assert controls.resume(QUEUE) is None


def test_a_closed_mailbox_pauses_nothing(stage: Stage) -> None:
    stage.mailbox.close()
    for ask in (stage.mailbox.controls.pause, stage.mailbox.controls.resume):
        with pytest.raises(MailboxUnavailable):
            ask(QUEUE)
