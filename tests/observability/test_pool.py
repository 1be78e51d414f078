"""A pool's numbers are the sums of what its processes reported, at a cost that does not grow with them."""

import pytest

from callboard.observability.cells import Book
from callboard.observability.exposition import exposition
from callboard.observability.health import SILENT_AFTER, Seen, ailments
from callboard.observability.metrics import (
    AGE,
    BUSY,
    ENDED,
    ERRORS,
    OTHER,
    PROCESSING,
    SETTLED,
    STUCK,
    THREADS,
    WAIT,
)
from callboard.observability.pool import Pool
from callboard.observability.report import (
    Place,
    Report,
    Vitals,
    counters_of,
    decode_report,
    encode_report,
    histograms_of,
)

PLACE = Place("127.0.0.1:0", is_default=False, workspace="w")
ONE = ("orders", "note", "order.placed", "succeeded")
WELL = Vitals(8, 3)


def report(worker: str, book: Book | None = None, vitals: Vitals = WELL, *, leaving: bool = False) -> Report:
    """A report as it comes out of a datagram."""
    said = Book() if book is None else book
    made = Report(worker, 1, PLACE, vitals, leaving, counters_of(said), histograms_of(said))
    return decode_report(encode_report(made))


def one(by: int = 1) -> Book:
    book = Book()
    book.add(SETTLED, ONE, by)
    return book


def test_what_processes_report_adds_up_and_stays_when_they_are_gone() -> None:
    pool = Pool(alive=lambda _pid: True)
    for number in range(3):
        pool.receive(report(f"w-{number}", one(2)), now=0)
        pool.receive(report(f"w-{number}", one(3), leaving=number == 2), now=1)
    book, states = pool.snapshot()
    assert book.counters == {SETTLED.name: {ONE: 15}}
    assert pool.processes == 2
    assert (states[THREADS.name], states[BUSY.name], states[STUCK.name]) == ({(): 16}, {(): 6}, {(): 0})


def test_a_process_that_was_killed_is_forgotten_and_its_numbers_are_not() -> None:
    living = {1}
    pool = Pool(alive=lambda pid: pid in living)
    pool.receive(report("w-1", one()), now=0)
    living.clear()
    assert pool.ailments(now=100) == []
    assert pool.processes == 0
    assert pool.snapshot()[0].counters == {SETTLED.name: {ONE: 1}}


def test_processes_together_tell_no_more_classes_of_errors_apart_than_one() -> None:
    pool = Pool(alive=lambda _pid: True)
    for worker in range(10):
        book = Book()
        for number in range(20):
            book.add(ERRORS, ("note", f"Error{worker}x{number}"), 5)
        pool.receive(report(f"w-{worker}", book), now=0)
    known = pool.snapshot()[0].counters[ERRORS.name]
    assert len(known) == 21
    assert known["note", OTHER] == 180 * 5


def test_a_thousand_restarts_make_no_more_series_than_ten() -> None:
    def lines_after(restarts: int) -> int:
        book, states = _restarted(restarts).snapshot()
        assert sum(book.counters[SETTLED.name].values()) == restarts * 50 * 10
        return exposition(book, states, "callboard", openmetrics=True).count(b"\n")

    assert lines_after(1000) == lines_after(10) > 2000


def _restarted(times: int) -> Pool:
    pool = Pool(alive=lambda _pid: True)
    for restart in range(times):
        book = Book()
        queue = f"queue-{restart % 10}"
        for event in (f"event.number{number}" for number in range(50)):
            labels = (queue, f"actor-of-{queue}", event)
            book.add(SETTLED, (*labels, "succeeded"), 9)
            book.add(SETTLED, (*labels, "retried"), 1)
            book.add(ENDED, (*labels, "succeeded", ""), 9)
            book.observe(AGE, (event,), [1.0])
        book.observe(PROCESSING, (queue, f"actor-of-{queue}"), [0.1])
        book.observe(WAIT, (queue,), [0.1])
        pool.receive(report(f"w-{restart}", book), now=restart)
        pool.receive(report(f"w-{restart}", leaving=True), now=restart)
    assert pool.processes == 0
    return pool


@pytest.mark.parametrize(
    ("vitals", "seen_before", "told"),
    [
        (WELL, 0, []),
        (WELL, SILENT_AFTER + 5, ["has said nothing for 15 s"]),
        (Vitals(8, 3, 2), 0, ["2 of its handlers go on after they were interrupted"]),
        (Vitals(8, 3, ended=("callboard-settler",)), 0, ["its thread callboard-settler has ended"]),
        (
            Vitals(8, 3, hanging={"settler": 61.2, "consumer of orders": 70}),
            0,
            ["its settler has not moved for 61 s", "its consumer of orders has not moved for 70 s"],
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(vitals: Vitals, seen_before: float, told: list[str]) -> None:
    seen = Seen(7, vitals, 100.0)
    assert ailments([seen], 100.0 + seen_before) == [f"worker process 7: {each}" for each in told]
