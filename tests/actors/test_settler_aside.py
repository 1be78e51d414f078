"""What cannot be written holds up nobody, does not end the settler, and does not end unseen."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dramatiq
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from callboard import Callboard
from callboard.actors.aside import Aside
from callboard.actors.mailbox.mailbox import Mailbox, Posting, Settlement
from callboard.actors.mailbox.memory import MemoryMailbox
from callboard.actors.settler import Settler
from callboard.messages.delivery import (
    LONGEST_ERROR,
    SUCCEEDED,
    ErrorRecord,
    History,
    Outcome,
    OutcomeKind,
    Reason,
)
from callboard.messages.errors import MailboxRefused, MailboxUnavailable, StaleRoutes
from tests.actors.rehearsal import FaultyMailbox, OrderPlaced, is_at_rest, new_app, queue_of, until, working
from tests.actors.test_settler import Book, Told, delivery

SURROGATE = "\ud800"


class Encoding(FaultyMailbox):
    """Refuses what `refuses`, and raises what is no error of a mailbox for texts that cannot be encoded."""

    def __init__(self, mailbox: Mailbox | None = None) -> None:
        super().__init__(MemoryMailbox() if mailbox is None else mailbox)
        self.written: list[Settlement] = []

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        self._on("settle")
        for each in settlements:
            _encode(each)
        self.written.extend(settlements)
        return [True] * len(settlements)


def _encode(settlement: Settlement) -> None:
    (settlement.outcome.detail or "").encode()
    for error in (
        (settlement.history.first_error, settlement.history.last_error) if settlement.history else ()
    ):
        (error.message if error else "").encode()
    for posting in settlement.postings:
        posting.key.encode()


@contextmanager
def running(book: Mailbox, told: Told, *, seconds: float = 10) -> Iterator[Settler]:
    settler = Settler(book, busy=lambda: False, settled=told)
    settler.start()
    yield settler
    settler.stop(seconds)
    assert not settler._thread.is_alive()


def test_what_comes_after_a_refused_settlement_is_written_at_once() -> None:
    book, told = Book(), Told()
    refused = delivery("refused")
    book.refuses = lambda each: each is refused
    with capture_logs(), running(book, told, seconds=0.1) as settler:
        settler.put(Settlement(refused, SUCCEEDED))
        until(lambda: book.calls.count("settle") >= 7, "a pause of half a second")
        tried = book.calls.count("settle")
        later = delivery()
        settler.put(Settlement(later, SUCCEEDED))
        until(lambda: later in told.settled, "the later one")
        assert book.calls.count("settle") <= tried + 2
    assert refused not in told.settled


def test_what_was_refused_is_written_when_the_mailbox_takes_it() -> None:
    book, told = Book(), Told()
    refused = [delivery("refused") for _ in range(30)]
    book.refuses = lambda each: each in refused[:20]
    book.gate.clear()
    with capture_logs(), running(book, told) as settler:
        for each in refused:
            settler.put(Settlement(each, SUCCEEDED))
        book.gate.set()
        until(lambda: set(refused[20:]) <= set(told.settled), "those that are taken")
        book.refuses = lambda _: False
        until(lambda: set(refused) == set(told.settled), "the others")
    assert len(book.written()) == 30


def test_a_mailbox_that_refuses_everything_is_not_asked_for_each_one_all_the_time() -> None:
    book, told = Book(), Told()
    given = [delivery() for _ in range(500)]
    book.refuses = lambda _: True
    book.gate.clear()
    with capture_logs(), running(book, told) as settler:
        for each in given:
            settler.put(Settlement(each, SUCCEEDED))
        book.gate.set()
        until(lambda: book.calls.count("settle") >= 30, "some rounds of tries")
        assert not told.settled
        assert book.calls.count("settle") < 200
        book.refuses = lambda _: False
        until(lambda: len(told.settled) == 500, "all of them")


def test_when_stopping_what_was_refused_is_tried_once_more_and_told_of() -> None:
    book, told = Book(), Told()
    refused, taken_at_last = delivery("refused"), delivery("taken at last")
    book.refuses = lambda each: each in (refused, taken_at_last)
    settler = Settler(book, busy=lambda: False, settled=told)
    settler.start()
    with capture_logs():
        settler.put(Settlement(refused, SUCCEEDED))
        settler.put(Settlement(taken_at_last, SUCCEEDED))
        until(lambda: len(settler._aside) == 2, "both to be refused")
        book.refuses = lambda each: each is refused
        assert settler.stop(10) == 1
    assert told.settled == [taken_at_last]


def test_an_error_that_is_not_the_mailboxs_hurts_only_what_causes_it() -> None:
    book, told = Encoding(), Told()
    guilty = Settlement(delivery(), Outcome(OutcomeKind.DISCARDED, Reason.REJECTED, f"no {SURROGATE}"))
    others = [Settlement(delivery(), SUCCEEDED) for _ in range(20)]
    with capture_logs() as logs, running(book, told) as settler:
        for each in (others[0], guilty, *others[1:]):
            settler.put(each)
        until(lambda: len(told.settled) == 21, "all to be settled")
    (written,) = [each for each in book.written if each.delivery is guilty.delivery]
    assert written.outcome == replace(guilty.outcome, detail="no ?")
    assert "a settlement cannot be written: a plainer one was" in [line["event"] for line in logs]


def test_an_error_that_passes_changes_no_outcome() -> None:
    book, told = Encoding(), Told()
    book.fail("settle", ValueError("an answer that cannot be read"), times=2)
    with capture_logs(), running(book, told) as settler:
        settler.put(Settlement(delivery(), SUCCEEDED))
        until(lambda: told.settled, "the settlement")
    assert [each.outcome for each in book.written] == [SUCCEEDED]


def test_the_texts_of_errors_are_made_such_that_they_can_be_written() -> None:
    book, told = Encoding(), Told()
    error = ErrorRecord("OSError", SURROGATE * 2 * LONGEST_ERROR, 1)
    history = History(attempts=2, first_error=error, last_error=error)
    with capture_logs(), running(book, told) as settler:
        settler.put(Settlement(delivery(), Outcome(OutcomeKind.RETRIED, delay_ms=5), history=history))
        until(lambda: told.settled, "the settlement")
    (written,) = book.written
    assert written.outcome == Outcome(OutcomeKind.RETRIED, delay_ms=5)
    expected = ErrorRecord("OSError", "?" * LONGEST_ERROR, 1)
    assert written.history == History(attempts=2, first_error=expected, last_error=expected)


def test_what_cannot_be_written_at_all_becomes_a_dead_letter_that_says_so() -> None:
    book, told = Encoding(), Told()
    posting = Posting("order.placed", b"{}", b"0" * 16, (), key=SURROGATE)
    settlement = Settlement(delivery(), SUCCEEDED, postings=(posting,))
    with capture_logs(), running(book, told) as settler:
        settler.put(settlement)
        until(lambda: told.settled, "the settlement")
    (written,) = book.written
    assert (written.outcome.kind, written.outcome.reason) == (OutcomeKind.DEAD, Reason.REJECTED)
    assert written.outcome.detail == "its outcome succeeded cannot be written (UnicodeEncodeError)"
    assert not written.postings


def test_what_not_even_a_dead_letter_can_be_written_of_is_let_go_so_that_its_lease_ends() -> None:
    book, told = Encoding(), Told()
    book.fail("settle", TypeError("whatever it is"), times=5)
    given, later = delivery(), delivery()
    with capture_logs() as logs, running(book, told) as settler:
        settler.put(Settlement(given, SUCCEEDED))
        until(lambda: told.settled == [given], "it to be let go")
        settler.put(Settlement(later, SUCCEEDED))
        until(lambda: told.settled == [given, later], "the next one")
    assert [each.delivery for each in book.written] == [later]
    assert any("will start again" in line["event"] for line in logs)


def test_a_server_that_is_away_while_a_plainer_one_is_written_is_waited_for() -> None:
    book, told = Encoding(), Told()
    book.faults["settle"] = [*[TypeError("odd")] * 3, MailboxUnavailable("gone"), TypeError("odd"), None]
    with capture_logs(), running(book, told) as settler:
        settler.put(Settlement(delivery(), SUCCEEDED))
        until(lambda: told.settled, "the settlement")
    assert [each.outcome for each in book.written] == [SUCCEEDED]


@pytest.mark.parametrize(
    "error", [MailboxRefused("no routes for you"), LookupError("two takers of a command")]
)
def test_routes_that_cannot_be_found_anew_for_one_hold_up_nobody(error: Exception) -> None:
    told = Told()

    class OldRoutes(Encoding):
        def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
            if any(settlement.postings for settlement in settlements):
                raise StaleRoutes("load them")
            return super().settle(settlements)

    def reroute(postings: Sequence[Posting]) -> tuple[Posting, ...]:
        raise error

    book = OldRoutes()
    settler = Settler(book, busy=lambda: False, settled=told, reroute=reroute)
    posting = Posting("order.placed", b"{}", b"0" * 16, ())
    guilty, others = delivery(), [delivery() for _ in range(3)]
    settler.put(Settlement(guilty, SUCCEEDED, postings=(posting,)))
    for each in others:
        settler.put(Settlement(each, SUCCEEDED))
    with capture_logs():
        settler.start()
        until(lambda: set(others) <= set(told.settled), "the others")
        settler.stop(0.1)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_middleware_that_skips_with_words_that_cannot_be_written_hurts_nobody(
    server_url: str, is_async: bool
) -> None:
    class Skips(dramatiq.Middleware):
        def before_process_message(self, broker: object, message: dramatiq.broker.MessageProxy) -> None:
            if message.message_id == "bad":
                raise dramatiq.middleware.SkipMessage(SURROGATE * 10_000)

    app = Callboard("shop", url=server_url, workspace=f"skips-{is_async}".lower(), middleware=[Skips()])
    if is_async:

        @app.actor(name="handler")
        async def handle_async(event: OrderPlaced) -> None: ...

    else:

        @app.actor(name="handler")
        def handle(event: OrderPlaced) -> None: ...

    with capture_logs(), working(app):
        app.publish(OrderPlaced("bad"), dedup_key="bad")
        app.publish_many([OrderPlaced(str(n)) for n in range(20)])
        until(lambda: is_at_rest(app) and queue_of(app).succeeded == 20, "the others")
    (record,) = app.mailbox.ended("default")
    assert len(record.detail or "") < LONGEST_ERROR + 50
    assert queue_of(app).discarded == 1
    app.close()


def test_the_renewer_outlives_any_error() -> None:
    mailbox = FaultyMailbox(MemoryMailbox())
    app = new_app(mailbox, lease="300ms")
    mailbox.fail("renew", ValueError("an answer that cannot be read"), times=2)
    going, on = threading.Event(), threading.Event()

    @app.actor
    def handler(event: OrderPlaced) -> None:
        going.set()
        assert on.wait(20)

    with capture_logs() as logs, working(app):
        app.publish(OrderPlaced("A"))
        assert going.wait(20)
        until(lambda: mailbox.calls.count("renew") > 3, "renewals after the errors")
        on.set()
    assert [line["log_level"] for line in logs if line["event"] == "the mailbox could not be told"] == 2 * [
        "error"
    ]


def test_what_was_tried_least_is_tried_first() -> None:
    aside = Aside()
    tried, untried = Settlement(delivery(), SUCCEEDED), Settlement(delivery(), SUCCEEDED)
    aside.put(tried, 0.0)
    aside.put(untried, 0.0, tried=False)
    assert aside.take(0.01, 10) == []
    assert aside.next_in(0.01) == pytest.approx(0.01)
    assert aside.take(1.0, 1) == [untried]
    assert aside.take(1.0, 1) == [tried]
    assert aside.next_in(1.0) is None


def test_a_pause_doubles_and_is_forgotten_with_the_delivery() -> None:
    aside = Aside()
    given = Settlement(delivery(), SUCCEEDED)
    pauses = [aside.put(given, 0.0).pause for _ in range(8)]
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    aside.forget([given.delivery])
    assert len(aside) == 0
    assert aside.put(given, 0.0).pause == 0.02
