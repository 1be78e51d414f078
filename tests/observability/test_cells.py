"""Numbers are kept exactly, whoever adds to them, and are taken out once."""

import random
import threading

from prometheus_client import CollectorRegistry, Histogram

from callboard.observability.cells import Book, Cells, Tally
from callboard.observability.metrics import ATTEMPTS, ENDED, PROCESSING, SETTLED, WAIT

LABELS = ("orders", "note", "order.placed", "succeeded")


def test_values_fall_into_the_same_buckets_one_by_one_and_sorted_and_in_prometheus_client() -> None:
    chance = random.Random(5)  # noqa: S311 - the same values each time
    bounds = PROCESSING.buckets
    values = [chance.choice([chance.expovariate(2), *bounds]) for _ in range(500)]
    one_by_one, together = Tally([0] * (len(bounds) + 1)), Tally([0] * (len(bounds) + 1))
    theirs = Histogram("theirs", "theirs", buckets=bounds, registry=CollectorRegistry())
    for value in values:
        one_by_one.add([value], bounds)
        theirs.observe(value)
    together.add(values.copy(), bounds)
    assert one_by_one.counts == together.counts
    assert abs(one_by_one.total - together.total) < 1e-6
    upto, cumulated = 0, []
    for count in together.counts:
        upto += count
        cumulated.append(float(upto))
    (family,) = theirs.collect()
    assert cumulated == [each.value for each in family.samples if each.name.endswith("_bucket")]


def test_the_same_value_many_times_is_as_if_each_were_added() -> None:
    book, other = Book(), Book()
    book.observe_same(ATTEMPTS, ("note",), 3, 7)
    other.observe(ATTEMPTS, ("note",), [3.0] * 7)
    ours, theirs = (each.histograms[ATTEMPTS.name][("note",)] for each in (book, other))
    assert (ours.counts, ours.total) == (theirs.counts, theirs.total)
    book.observe_same(WAIT, ("orders",), 1, 0)
    assert WAIT.name not in book.histograms


def test_what_is_taken_is_taken_once_and_the_total_keeps_it() -> None:
    cells = Cells()
    cells.fresh.add(SETTLED, LABELS, 2)
    cells.fresh.observe(WAIT, ("orders",), [0.5, 2.0])
    taken = cells.take()
    assert taken.counters[SETTLED.name] == {LABELS: 2}
    assert not cells.take()
    cells.fresh.add(SETTLED, LABELS, 3)
    total = cells.total()
    assert total.counters[SETTLED.name] == {LABELS: 5}
    assert total.histograms[WAIT.name][("orders",)].total == 2.5
    total.add(SETTLED, LABELS, 100)  # a copy
    assert cells.total().counters[SETTLED.name] == {LABELS: 5}


def test_nothing_is_lost_between_many_that_add_and_one_that_takes() -> None:
    cells, sum_taken = Cells(), 0.0
    done = threading.Event()

    def add() -> None:
        for _ in range(20_000):
            with cells.lock:
                cells.fresh.add(SETTLED, LABELS)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while not done.is_set():
        if not any(thread.is_alive() for thread in threads):
            done.set()
        sum_taken += cells.take().counters.get(SETTLED.name, {}).get(LABELS, 0)
    assert sum_taken == 80_000 == cells.total().counters[SETTLED.name][LABELS]


def test_books_add_up_and_what_is_no_instrument_is_left_out() -> None:
    book, other = Book(), Book()
    book.add(ENDED, (*LABELS, ""), 1)
    other.add(ENDED, (*LABELS, ""), 2)
    other.observe(WAIT, ("orders",), [1.0])
    other.counters["of_a_newer_version_total"] = {("x",): 5}
    other.histograms["newer_seconds"] = {("x",): Tally([1, 2])}
    other.histograms[ATTEMPTS.name] = {("note",): Tally([1, 2])}  # other buckets than ours
    for _ in range(2):
        book.merge(other)
    assert book.counters == {ENDED.name: {(*LABELS, ""): 5}}
    assert set(book.histograms) == {WAIT.name}
    assert book.histograms[WAIT.name][("orders",)].total == 2.0
