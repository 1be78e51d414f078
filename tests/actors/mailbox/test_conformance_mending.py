"""Dead letters are replayed and discarded once, whatever is lost on the way: I2, I3 and I6."""

import pytest
from msgspec.structs import replace

from callboard.actors.mailbox.records import EndedRecord, Redress, Replay, Span, State, records_in
from callboard.messages.delivery import NO_HISTORY, OutcomeKind, Reason
from tests.actors.mailbox.conformance import (
    DEAD,
    LONG,
    QUEUE,
    Stage,
    ids,
    posting,
    queue_of,
    retried,
    settlement,
    target,
)

RUN, OTHER_RUN = "run-1", "run-2"


def dead_letter(stage: Stage, key: str = "A-1", *, lane: str = "", body: bytes = b"body") -> EndedRecord:
    """A dead letter after two attempts."""
    stage.publish(posting(target(key, lane=lane), body=body))
    stage.settle(settlement(stage.take(), retried()))
    stage.settle(settlement(stage.take(), DEAD))
    return letters(stage)[0]


def letters(stage: Stage, kind: OutcomeKind = OutcomeKind.DEAD, queue: str = QUEUE) -> list[EndedRecord]:
    """What is listed of a kind."""
    return list(records_in(stage.mailbox.records, Span(queue, kind, bodies=True)))


def replay(stage: Stage, *records: EndedRecord, run: str = RUN) -> list[Redress]:
    """Replay records to where they came from, and check that nothing was lost."""
    answers = stage.mailbox.records.replay([_as_it_was(each) for each in records], run)
    stage.queue()
    return answers


def discard(stage: Stage, *records: EndedRecord, run: str = RUN) -> list[Redress]:
    """Discard records, and check."""
    answers = stage.mailbox.records.discard([each.id for each in records], run)
    stage.queue()
    return answers


def _as_it_was(record: EndedRecord) -> Replay:
    return Replay(record.id, record.delivery, record.queue, 1)


def test_a_replayed_delivery_is_live_again_with_its_attempts_and_its_age_afresh(stage: Stage) -> None:
    letter = dead_letter(stage)
    stage.let_pass(2)
    before = stage.now()
    assert replay(stage, letter) == [Redress.DONE]
    again = stage.take()
    assert (again.id, again.body, again.fingerprint) == ("receipt:A-1", b"body", letter.stored[:16])
    assert (again.attempt, again.history) == (1, NO_HISTORY)
    assert before <= again.accepted_at == again.due_at <= stage.now()
    assert stage.settle(settlement(again)) == [True]
    queue = stage.queue()
    assert (queue.accepted, queue.replayed, queue.dead, queue.succeeded) == (1, 1, 1, 1)


def test_a_replayed_letter_is_listed_no_more_but_its_record_is_kept(stage: Stage) -> None:
    letter = dead_letter(stage)
    replay(stage, letter)
    assert letters(stage) == []
    kept = stage.mailbox.records.get(letter.id)
    assert kept is not None
    assert (kept.kind, kept.reason, kept.body) == (OutcomeKind.DEAD, Reason.REJECTED, b"body")
    assert kept.replayed_at is not None
    (found,) = stage.mailbox.records.find("receipt:A-1")
    assert found.live is not None
    assert [each.id for each in found.ended] == [letter.id]


def test_a_replay_whose_reply_was_lost_does_nothing_again(stage: Stage) -> None:
    letter = dead_letter(stage)
    assert replay(stage, letter) == [Redress.DONE]
    assert replay(stage, letter) == [Redress.DONE]
    assert replay(stage, letter, run=OTHER_RUN) == [Redress.ALREADY]
    assert len(stage.fetch().deliveries) == 1
    assert replay(stage, letter) == [Redress.DONE]
    assert stage.queue().replayed == 1


def test_a_replayed_delivery_may_die_again_and_be_replayed_again(stage: Stage) -> None:
    first = dead_letter(stage)
    replay(stage, first)
    stage.settle(settlement(stage.take(), DEAD))
    (second,) = letters(stage)
    assert second.id != first.id
    assert replay(stage, second, run=OTHER_RUN) == [Redress.DONE]
    assert replay(stage, first, run=OTHER_RUN) == [Redress.ALREADY]
    assert stage.queue().dead == 2


def test_of_two_letters_of_one_key_one_is_replayed(stage: Stage) -> None:
    first, second = dead_letter(stage), dead_letter(stage)
    assert replay(stage, first, second) == [Redress.DONE, Redress.DUPLICATE]
    assert [each.id for each in letters(stage)] == [second.id]
    assert replay(stage, first, second) == [Redress.DONE, Redress.DUPLICATE]


@pytest.mark.parametrize("done", [False, True], ids=["live", "completed"])
def test_what_is_live_again_or_done_meanwhile_is_a_duplicate_and_stays_dead(stage: Stage, done: bool) -> None:
    letter = dead_letter(stage)
    stage.publish(posting(body=b"body"))
    if done:
        stage.settle(settlement(stage.take()))
    assert replay(stage, letter) == [Redress.DUPLICATE]
    assert [each.id for each in letters(stage)] == [letter.id]
    assert stage.queue().replayed == 0


def test_a_key_that_stands_for_another_body_by_now_is_a_conflict(stage: Stage) -> None:
    letter = dead_letter(stage)
    stage.publish(posting(body=b"other"))
    assert replay(stage, letter) == [Redress.CONFLICT]
    assert [each.id for each in letters(stage)] == [letter.id]


def test_an_ordered_delivery_joins_its_lane_again(stage: Stage) -> None:
    letter = dead_letter(stage, "1", lane="receipt:a")
    assert letter.lane == "receipt:a"
    stage.publish(posting(target("2", lane="receipt:a"), body=b"2"))
    holder = stage.take()
    assert replay(stage, letter) == [Redress.DONE]
    assert stage.fetch().deliveries == []
    live = stage.mailbox.records.find("receipt:1")[0].live
    assert live is not None
    assert (live.state, live.behind) == (State.WAITING, "receipt:2")
    stage.settle(settlement(holder))
    assert stage.take().id == "receipt:1"


def test_a_letter_may_go_to_another_actor_in_another_queue(stage: Stage) -> None:
    letter = dead_letter(stage, lane="receipt:a")
    elsewhere = Replay(letter.id, "audit:A-1", "audits", 1)
    assert stage.mailbox.records.replay([elsewhere], RUN) == [Redress.DONE]
    info = stage.mailbox.info()
    there, here = queue_of(info, "audits"), stage.queue()
    assert (there.accepted, there.replayed, there.ready) == (0, 1, 1)
    assert (here.dead, here.replayed, here.live) == (1, 0, 0)
    (delivery,) = stage.fetch(queue="audits").deliveries
    assert (delivery.id, delivery.body) == ("audit:A-1", b"body")


def test_what_was_never_there_or_never_dead_is_gone(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    stage.settle(replace(settlement(delivery, DEAD), outcome=replace(DEAD, kind=OutcomeKind.DISCARDED)))
    (discarded,) = letters(stage, OutcomeKind.DISCARDED)
    assert replay(stage, discarded) == [Redress.GONE]
    assert replay(stage, replace(discarded, id="receipt:A-1#99")) == [Redress.GONE]
    assert discard(stage, discarded) == [Redress.GONE]


def test_an_operator_discards_a_dead_letter_once(stage: Stage) -> None:
    letter = dead_letter(stage)
    assert discard(stage, letter) == [Redress.DONE]
    assert discard(stage, letter) == [Redress.DONE]
    assert discard(stage, letter, run=OTHER_RUN) == [Redress.ALREADY]
    assert replay(stage, letter) == [Redress.ALREADY]
    (record,) = letters(stage, OutcomeKind.DISCARDED)
    assert (record.id, record.reason, record.was) == (letter.id, Reason.OPERATOR, Reason.REJECTED)
    assert (record.until, record.body, record.history) == (letter.until, b"body", letter.history)
    assert letters(stage) == []
    queue = stage.queue()
    assert (queue.dead, queue.discarded) == (0, 1)


def test_a_replayed_letter_is_not_discarded(stage: Stage) -> None:
    letter = dead_letter(stage)
    replay(stage, letter)
    assert discard(stage, letter) == [Redress.ALREADY]
    assert stage.queue().ready == 1


def test_a_replay_wakes_who_waits(live_stage: Stage) -> None:
    letter = dead_letter(live_stage)
    while live_stage.mailbox.wait(QUEUE, 0.1):
        pass  # what was published before may have woken somebody
    replay(live_stage, letter)
    assert live_stage.mailbox.wait(QUEUE, 5)


def test_many_are_replayed_in_order(stage: Stage) -> None:
    keys = [f"{number:03}" for number in range(300)]
    stage.publish_keys(*keys)
    stage.settle(*(settlement(each, DEAD) for each in stage.fetch(300, lease_ms=LONG).deliveries))
    oldest_first = Span(QUEUE, OutcomeKind.DEAD, newest_first=False)
    records = list(records_in(stage.mailbox.records, oldest_first, 100))
    assert replay(stage, *records) == [Redress.DONE] * 300
    assert ids(stage.fetch(300).deliveries) == [f"receipt:{key}" for key in keys]
