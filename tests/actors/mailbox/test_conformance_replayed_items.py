"""What became of a dead letter's items goes along when it is replayed, what was given up is open again."""

import pytest
from msgspec.structs import replace

from callboard.actors.mailbox.keys import root_of
from callboard.actors.mailbox.mailbox import MIN_WINDOW_MS
from callboard.actors.mailbox.records import EndedRecord, Redress, Replay, State
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import NO_HISTORY, Delivery, History
from callboard.messages.items import ItemRecord
from callboard.messages.timing import After
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEAD,
    LONG,
    QUEUE,
    ServerStage,
    Stage,
    VirtualStage,
    posting,
    retried,
    target,
)
from tests.actors.mailbox.test_conformance_ledger import done, failed, kept, settled, skipped, write

RUN, OTHER_RUN = "run-1", "run-2"
REPLAYED = History(items=True, replays=1)


def let_die(stage: Stage, delivery: Delivery, *records: ItemRecord, retention_ms: int = LONG) -> EndedRecord:
    """The dead letter of a delivery with these items."""
    assert write(stage, delivery, *records)
    assert stage.settle(replace(settled(delivery, DEAD), retention_ms=retention_ms)) == [True]
    return stage.mailbox.ended(QUEUE)[0]


def dead_letter(stage: Stage, *records: ItemRecord) -> EndedRecord:
    stage.publish()
    return let_die(stage, stage.take(), *records)


def replay(stage: Stage, letter: EndedRecord, to: str = "receipt:A-1", run: str = RUN) -> list[Redress]:
    answers = stage.mailbox.records.replay([Replay(letter.id, to, QUEUE, 1)], run)
    stage.queue()
    return answers


def test_what_became_of_items_goes_along(stage: Stage) -> None:
    letter = dead_letter(stage, done("A"), failed("B"), skipped("C"), done("A", loop="prices"))
    before = {each.field: each for each in stage.mailbox.ledger.of_ended(letter.id)}
    assert len(before) == 4
    assert replay(stage, letter) == [Redress.DONE]
    again = stage.take()
    assert (again.attempt, again.history) == (1, REPLAYED)
    assert kept(stage, again) == before


def test_the_record_of_what_was_replayed_has_items_no_more(stage: Stage) -> None:
    letter = dead_letter(stage, done("A"))
    replay(stage, letter)
    assert stage.mailbox.ledger.of_ended(letter.id) == []
    (found,) = stage.mailbox.records.find("receipt:A-1")
    assert found.live is not None
    assert (found.live.state, found.live.history) == (State.READY, REPLAYED)
    assert found.ended[0].replayed_at is not None
    assert found.ended[0].history.items


def test_what_was_given_up_is_tried_again(stage: Stage) -> None:
    letter = dead_letter(stage, failed("A", rejected=True), failed("B"))
    assert [each.rejected for each in stage.mailbox.ledger.of_ended(letter.id) if each.key == "A"] == [True]
    replay(stage, letter)
    again = stage.take()
    assert kept(stage, again) == {":A": failed("A"), ":B": failed("B")}


@pytest.mark.parametrize("delay", [0, BRIEF])
def test_what_is_given_up_after_a_replay_stays_so_until_the_next(stage: Stage, delay: int) -> None:
    letter = dead_letter(stage, failed("A", rejected=True), failed("B", rejected=True))
    replay(stage, letter)
    delivery = stage.take()
    write(stage, delivery, failed("A", rejected=True))
    half = {":A": failed("A", rejected=True), ":B": failed("B")}
    assert kept(stage, delivery) == half
    made = settled(delivery, retried(delay))
    assert made.history is not None
    stage.settle(made)
    again = stage.take_when_due()
    assert again.history.replays == 1
    assert kept(stage, again) == half
    second = let_die(stage, again, done("C"))
    assert {each.field: each for each in stage.mailbox.ledger.of_ended(second.id)} == {
        **half,
        ":C": done("C"),
    }
    assert replay(stage, second, run=OTHER_RUN) == [Redress.DONE]
    assert stage.take().history == History(items=True, replays=2)
    assert stage.mailbox.ledger.of("receipt:A-1") != []
    assert not any(each.rejected for each in stage.mailbox.ledger.of("receipt:A-1"))


def test_a_lost_worker_leaves_the_count_of_replays(stage: Stage) -> None:
    replay(stage, dead_letter(stage, failed("A", rejected=True)))
    stage.lose()
    alone = stage.take(alone=True, lease_ms=BRIEF)
    write(stage, alone, failed("B", rejected=True))
    stage.let_pass(BRIEF)
    again = stage.take(alone=True)
    assert (again.history.replays, again.history.crashes, again.history.items) == (1, 1, True)
    assert kept(stage, again) == {":A": failed("A"), ":B": failed("B", rejected=True)}


def test_a_replay_whose_reply_was_lost_moves_nothing_again(stage: Stage) -> None:
    letter = dead_letter(stage, failed("A", rejected=True), done("B"))
    replay(stage, letter)
    again = stage.take()
    write(stage, again, done("A"))
    assert replay(stage, letter) == [Redress.DONE]
    assert kept(stage, again) == {":A": done("A"), ":B": done("B")}
    assert stage.settle(settled(again)) == [True]
    assert replay(stage, letter) == [Redress.DONE]
    assert kept(stage, again) == {}


def test_to_another_actor_no_items_go_along(stage: Stage) -> None:
    letter = dead_letter(stage, done("A"))
    assert replay(stage, letter, to="audit:A-1") == [Redress.DONE]
    other = stage.take()
    assert (other.id, other.history) == ("audit:A-1", NO_HISTORY)
    assert kept(stage, other) == {}
    assert stage.mailbox.ledger.of_ended(letter.id) == [done("A")]


def test_what_is_not_replayed_keeps_its_items(stage: Stage) -> None:
    letter = dead_letter(stage, done("A"))
    stage.publish(posting(body=b"other"))
    assert replay(stage, letter) == [Redress.CONFLICT]
    assert stage.mailbox.ledger.of_ended(letter.id) == [done("A")]
    assert stage.take().history == NO_HISTORY


def test_a_letter_without_items_begins_without_history(stage: Stage) -> None:
    stage.publish()
    stage.settle(settled(stage.take(), DEAD))
    replay(stage, stage.mailbox.ended(QUEUE)[0])
    assert stage.take().history == NO_HISTORY


@pytest.mark.parametrize("key", ["A#1", "A"])
def test_a_key_with_a_hash_is_not_taken_for_another(stage: Stage, key: str) -> None:
    stage.publish(posting(target("A#1")))
    letter = let_die(stage, stage.take(), done("B"))
    replay(stage, letter, to=f"receipt:{key}")
    again = stage.take()
    assert kept(stage, again) == ({":B": done("B")} if key == "A#1" else {})


def test_items_that_went_along_outlast_the_record_they_were_kept_with(virtual_stage: VirtualStage) -> None:
    virtual_stage.publish()
    replay(virtual_stage, let_die(virtual_stage, virtual_stage.take(), done("A"), retention_ms=MIN_WINDOW_MS))
    virtual_stage.let_pass(MIN_WINDOW_MS + 1)
    assert kept(virtual_stage, virtual_stage.take()) == {":A": done("A")}


def test_items_that_went_along_have_no_end_on_a_server(server_stage: ServerStage) -> None:
    letter = dead_letter(server_stage, done("A"))
    mailbox = server_stage.mailbox
    assert isinstance(mailbox, RedisMailbox)
    root, client = root_of(mailbox.workspace), server_stage.client
    kept_until_then = f"{root}ended-items:{letter.id}"
    assert client.pttl(kept_until_then) > 0
    replay(server_stage, letter)
    assert client.exists(kept_until_then) == 0
    assert client.pttl(f"{root}items:receipt:A-1") == -1


def test_a_replayed_delivery_that_waits_still_has_not_begun(stage: Stage) -> None:
    """It is cancelled with its items, as what was never replayed is."""
    replay(stage, dead_letter(stage, done("A"), failed("B", rejected=True)))
    (answer,) = stage.mailbox.schedule.cancel("receipt:A-1")
    assert answer.became.value == "cancelled"
    record = stage.mailbox.ended(QUEUE)[0]
    items = {each.field: each for each in stage.mailbox.ledger.of_ended(record.id)}
    assert items == {":A": done("A"), ":B": failed("B")}


def test_the_age_of_a_replayed_delivery_that_is_moved_is_counted_from_then(stage: Stage) -> None:
    replay(stage, dead_letter(stage, done("A")))
    stage.mailbox.schedule.move("receipt:A-1", After(delay_ms=BRIEF))
    again = stage.take_when_due()
    assert again.due_at >= again.accepted_at + BRIEF
    assert kept(stage, again) == {":A": done("A")}
