"""What becomes of items is durable before the outcome is settled, whatever ails the mailbox."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from callboard.actors.attempt_items import AttemptItems, Loop
from callboard.actors.item_writer import BEHIND_SECONDS, ItemWriter, Watched
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.messages.delivery import Delivery
from callboard.messages.errors import AttemptLost, LedgerUnreadable, MailboxRefused, MailboxUnavailable
from callboard.middleware.attempt import Attempt, Policy
from callboard.middleware.retry import Retry
from tests.actors.mailbox.conformance import posting, settlement, target
from tests.actors.rehearsal import FaultyMailbox, until

POLICY = Policy("receipt", {}, Retry.exponential())

ERRORS = [MailboxUnavailable("gone"), MailboxRefused("read-only"), RuntimeError("a fault of ours")]


@pytest.fixture
def faulty(mailbox: Mailbox) -> FaultyMailbox:
    """A mailbox of each kind, with errors to come."""
    return FaultyMailbox(mailbox)


def take(faulty: FaultyMailbox, *keys: str) -> list[Delivery]:
    faulty.publish([posting(target(key)) for key in keys])
    return faulty.fetch("orders", len(keys), owner="me", lease_ms=60_000).deliveries


def items_of(writer: ItemWriter, delivery: Delivery, *, is_async: bool = False) -> AttemptItems:
    items = AttemptItems(Attempt(delivery, POLICY), writer, is_async=is_async)
    items.begin(Loop("", None))
    return items


def note(items: AttemptItems, *keys: str) -> None:
    for key in keys:
        items.meet(f":{key}")
        items.note("", key, 0, None)


def kept(faulty: FaultyMailbox, delivery: Delivery) -> set[str]:
    return {record.key for record in faulty.mailbox.ledger.of(delivery.id)}


@contextmanager
def writing(faulty: FaultyMailbox, seconds: float = 10) -> Iterator[ItemWriter]:
    writer = ItemWriter(lambda: faulty.ledger)
    writer.start()
    yield writer
    writer.stop(seconds)


def test_what_becomes_of_items_is_written_behind_in_groups(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    with writing(faulty) as writer:
        items = items_of(writer, delivery)
        keys = [f"sku-{number}" for number in range(1000)]
        note(items, *keys)
        until(lambda: not items.pending, "all to be written")
        assert kept(faulty, delivery) == set(keys)
        assert faulty.calls.count("write") <= 3


def test_attempts_that_run_at_once_are_written_together(faulty: FaultyMailbox) -> None:
    deliveries = take(faulty, *"123456")
    with writing(faulty) as writer:
        some = [items_of(writer, delivery) for delivery in deliveries]
        until(lambda: len(writer._watched) == 6, "all to be watched")
        before = faulty.calls.count("write")
        for items in some:
            note(items, "A")
        until(lambda: not any(items.pending for items in some), "all to be written")
        assert faulty.calls.count("write") - before <= 2
        assert all(kept(faulty, delivery) == {"A"} for delivery in deliveries)


def test_attempts_that_are_written_one_by_one_move_with_each_of_them(
    faulty: FaultyMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = take(faulty, *map(str, range(20)))
    writer, marks = ItemWriter(lambda: faulty.ledger), list[int | None]()
    healthy = writer._write

    def write(some: Sequence[AttemptItems]) -> None:
        marks.append(writer.mark)
        if len(some) > 1:
            raise MailboxRefused("one of them")
        healthy(some)

    monkeypatch.setattr(writer, "_write", write)
    some = [items_of(writer, delivery) for delivery in deliveries]
    for items in some:
        note(items, "A")
        writer._new.append(Watched(items))
    with capture_logs():
        writer.start()
        until(lambda: not any(items.pending for items in some), "all to be written")
        writer.stop(10)
    assert None not in marks
    assert len(marks) == len(set(marks)) == 21


def test_an_outcome_is_handed_on_once_all_is_durable(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    seen: list[set[str]] = []
    with writing(faulty) as writer:
        items = items_of(writer, delivery)
        note(items, "A", "B")
        items.finish(lambda: seen.append(kept(faulty, delivery)))
        until(lambda: seen, "the outcome to be handed on")
        until(lambda: not writer._watched, "nothing to be watched")
    assert seen == [{"A", "B"}]


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
def test_an_outcome_waits_while_its_items_cannot_be_written(faulty: FaultyMailbox, error: Exception) -> None:
    (delivery,) = take(faulty, "1")
    seen: list[set[str]] = []
    with writing(faulty) as writer, capture_logs() as logs:
        faulty.fail("write", error, times=4)
        items = items_of(writer, delivery)
        note(items, "A")
        items.finish(lambda: seen.append(kept(faulty, delivery)))
        until(lambda: seen, "the outcome to be handed on")
    assert seen == [{"A"}]
    assert faulty.calls.count("write") == 5
    assert {line["event"] for line in logs} == {"items wait to be written"}


def test_one_whose_items_are_refused_holds_up_no_other(faulty: FaultyMailbox) -> None:
    bad, good = take(faulty, "1", "2")
    handed: list[str] = []
    writer = ItemWriter(lambda: faulty.ledger)
    writer._thread = threading.current_thread()
    for delivery in (bad, good):
        items = items_of(writer, delivery)
        note(items, "A")
        items.finish(lambda name=delivery.id: handed.append(name))  # type: ignore[misc]  # bound now
    # The group as a whole, and then the first of them alone.
    faulty.fail("write", MailboxRefused("out of memory"), times=2)
    writer._take_in()
    writer._write_all(100.0)
    assert handed == [good.id]
    writer._write_all(100.0)
    assert handed == [good.id]
    writer._write_all(101.0)
    assert handed == [good.id, bad.id]


def test_what_was_taken_over_writes_nothing_and_its_outcome_is_handed_on_to_be_fenced(
    faulty: FaultyMailbox,
) -> None:
    faulty.publish([posting()])
    (late,) = faulty.fetch("orders", 1, owner="me", lease_ms=1).deliveries
    holder: list[Delivery] = []
    until(lambda: _take_over(faulty, holder), "a takeover")
    done: list[str] = []
    with writing(faulty) as writer:
        items = items_of(writer, late)
        note(items, "A")
        until(lambda: late.lost, "the writer to see that it is lost")
        with pytest.raises(AttemptLost):
            items.meet(":B")
        items.finish(lambda: done.append("handed on"))
        until(lambda: done, "the outcome to be handed on")
    assert kept(faulty, late) == set()


def _take_over(faulty: FaultyMailbox, taken: list[Delivery]) -> bool:
    taken += faulty.fetch("orders", 1, owner="other", lease_ms=60_000, alone=True).deliveries
    return bool(taken)


def test_a_durable_write_returns_when_it_is_durable_however_long_that_takes(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    writer = ItemWriter(lambda: faulty.ledger)
    items = items_of(writer, delivery)
    note(items, "A", "B")
    faulty.fail("write", MailboxUnavailable("gone"), times=3)
    writer.write(items)
    assert kept(faulty, delivery) == {"A", "B"}
    assert items.pending == {}


def test_a_durable_write_of_what_is_lost_says_so(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    faulty.settle([settlement(delivery)])
    writer = ItemWriter(lambda: faulty.ledger)
    items = items_of(writer, delivery)
    note(items, "A")
    with pytest.raises(AttemptLost, match="another worker may hold this delivery"):
        writer.write(items)


def test_what_a_thread_left_behind_notes_after_the_end_is_not_written(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    writer = ItemWriter(lambda: faulty.ledger)
    items = items_of(writer, delivery)
    note(items, "A")
    items.finish(lambda: None)
    note(items, "B")
    assert items.pending == {}
    assert kept(faulty, delivery) == {"A"}


def test_what_earlier_attempts_did_must_be_readable(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    writer = ItemWriter(lambda: faulty.ledger)
    faulty.fail("of", MailboxUnavailable("gone"))
    with pytest.raises(LedgerUnreadable, match="gone"):
        writer.read(delivery)


def test_stopping_writes_what_is_left(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    done: list[str] = []
    with writing(faulty) as writer:
        items = items_of(writer, delivery)
        note(items, "A")
        items.finish(lambda: done.append("handed on"))
        assert writer.stop(10) == 0
    assert done == ["handed on"]
    assert kept(faulty, delivery) == {"A"}


def test_stopping_says_how_many_outcomes_could_not_be_handed_on(faulty: FaultyMailbox) -> None:
    (delivery,) = take(faulty, "1")
    done: list[str] = []
    faulty.fail("write", MailboxUnavailable("gone"), times=1000)
    with writing(faulty) as writer:
        items = items_of(writer, delivery)
        note(items, "A")
        items.finish(lambda: done.append("handed on"))
        assert writer.stop(0.1) == 1
    assert done == []
    assert kept(faulty, delivery) == set()


def test_a_thread_with_nothing_to_do_sleeps_and_the_next_attempt_wakes_it(
    faulty: FaultyMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.actors.item_writer._STAYS_SECONDS", BEHIND_SECONDS)
    one, other = take(faulty, "1", "2")
    with writing(faulty) as writer:
        until(lambda: not writer._awake, "the thread to sleep")
        for delivery in (one, other):
            items = items_of(writer, delivery)
            note(items, "A")
            until(lambda: not items.pending, "it to be written")  # noqa: B023 - called here
            items.finish(lambda: None)
            until(lambda: not writer._awake, "the thread to sleep")
    assert kept(faulty, one) == kept(faulty, other) == {"A"}


def test_what_cannot_be_handed_on_ends_no_thread(faulty: FaultyMailbox) -> None:
    one, other = take(faulty, "1", "2")
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("no settler")

    thens: list[Callable[[], None]] = [fail, lambda: done.append("handed on")]
    with writing(faulty) as writer, capture_logs() as logs:
        for delivery, then in zip([one, other], thens, strict=True):
            items = items_of(writer, delivery)
            note(items, "A")
            items.finish(then)
        until(lambda: done, "the other to be handed on")
    assert [line["event"] for line in logs] == ["the end of an attempt could not be handed over"]
