"""The settler writes every outcome that is handed to it, in groups, for as long as it takes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from callboard.actors.mailbox.mailbox import Mailbox, Posting, Settlement
from callboard.actors.mailbox.memory import MemoryMailbox, SystemClock
from callboard.actors.settler import MOST_IN_A_GROUP, Settler
from callboard.messages.delivery import SUCCEEDED, Delivery
from callboard.messages.errors import MailboxRefused, MailboxUnavailable, StaleRoutes
from tests.actors.rehearsal import FaultyMailbox, until

_fences = count(1)


def delivery(name: str = "A") -> Delivery:
    fence = next(_fences)
    return Delivery(f"handler:{name}-{fence}", "default", fence, b"0" * 42, SystemClock())


class Book(FaultyMailbox):
    """Writes down the groups that are settled; what `refuses` says so of is refused."""

    def __init__(self) -> None:
        super().__init__(MemoryMailbox())
        self.groups: list[list[Delivery]] = []
        self.postings: list[Posting] = []
        self.refuses: Callable[[Delivery], bool] = lambda _: False
        self.gate = threading.Event()
        self.gate.set()

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        assert self.gate.wait(20)
        self._on("settle")
        group = [settlement.delivery for settlement in settlements]
        if any(map(self.refuses, group)):
            raise MailboxRefused("out of memory")
        self.groups.append(group)
        self.postings = [posting for settlement in settlements for posting in settlement.postings]
        return [not delivery.id.startswith("handler:fenced") for delivery in group]

    def written(self) -> list[Delivery]:
        return [delivery for group in self.groups for delivery in group]


class Told:
    """What the settler said of the deliveries it has settled."""

    def __init__(self) -> None:
        self.settled: list[Delivery] = []
        self.fenced: list[Delivery] = []

    def __call__(self, settled: Sequence[Delivery], fenced: Sequence[Delivery]) -> None:
        self.settled.extend(settled)
        self.fenced.extend(fenced)


@contextmanager
def running(book: Mailbox, told: Told, *, busy: bool = False, seconds: float = 10) -> Iterator[Settler]:
    settler = Settler(book, busy=lambda: busy, settled=told)
    settler.start()
    yield settler
    settler.stop(seconds)
    assert not settler._thread.is_alive()


@pytest.mark.parametrize("busy", [False, True])
def test_every_settlement_is_written_once_and_told(busy: bool) -> None:
    book, told = Book(), Told()
    given = [delivery() for _ in range(300)]
    with running(book, told, busy=busy) as settler:
        for each in given:
            settler.put(Settlement(each, SUCCEEDED))
        until(lambda: len(told.settled) == 300, "all to be settled")
    assert book.written() == told.settled == given
    assert told.fenced == []


def test_what_gathers_while_one_group_is_written_makes_the_next() -> None:
    book, told = Book(), Told()
    book.gate.clear()
    with running(book, told) as settler:
        first = delivery()
        settler.put(Settlement(first, SUCCEEDED))
        until(lambda: not settler._waiting, "the first to be taken")
        for _ in range(50):
            settler.put(Settlement(delivery(), SUCCEEDED))
        book.gate.set()
        until(lambda: len(told.settled) == 51, "all to be settled")
    assert [len(group) for group in book.groups] == [1, 50]


def test_a_group_has_a_largest_size() -> None:
    book, told = Book(), Told()
    settler = Settler(book, busy=lambda: False, settled=told)
    for _ in range(2 * MOST_IN_A_GROUP + 1):
        settler.put(Settlement(delivery(), SUCCEEDED))
    settler.start()
    assert settler.stop(10) == 0
    assert [len(group) for group in book.groups] == [MOST_IN_A_GROUP, MOST_IN_A_GROUP, 1]


def test_a_group_that_is_written_one_by_one_moves_with_each_of_them() -> None:
    book, told = Book(), Told()
    refused, marks = delivery("refused"), list[int | None]()
    given = [*(delivery() for _ in range(50)), refused]
    settler = Settler(book, busy=lambda: False, settled=told)

    def refuses(each: Delivery) -> bool:
        marks.append(settler.mark)
        return each is refused

    book.refuses = refuses
    for each in given:
        settler.put(Settlement(each, SUCCEEDED))
    with capture_logs():
        settler.start()
        until(lambda: len(told.settled) == 50, "all but one to be settled")
        settler.stop(0.1)
    assert None not in marks
    assert len(set(marks)) > 50


def test_many_threads_may_hand_over_at_once() -> None:
    book, told = Book(), Told()
    with running(book, told) as settler:

        def hand_over() -> None:
            for _ in range(200):
                settler.put(Settlement(delivery(), SUCCEEDED))

        threads = [threading.Thread(target=hand_over) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: len(told.settled) == 1600, "all to be settled")
    assert len(set(book.written())) == 1600


def test_a_settlement_by_old_routes_is_rerouted_even_if_the_mailbox_fails_meanwhile() -> None:
    book, told = Book(), Told()
    book.fail("settle", StaleRoutes("changed"), times=2)
    book.fail("routes", MailboxUnavailable("gone"))
    old = Posting("order.shipped", b"{}", b"0" * 16, (), key="A", routes_version=0)
    new = replace(old, routes_version=1)

    def reroute(postings: Sequence[Posting]) -> tuple[Posting, ...]:
        book.routes()
        return tuple(new for _ in postings)

    settler = Settler(book, busy=lambda: False, settled=told, reroute=reroute)
    settler.put(Settlement(delivery("plain"), SUCCEEDED))
    settler.put(Settlement(delivery("publishing"), SUCCEEDED, postings=(old, old)))
    settler.start()
    until(lambda: len(told.settled) == 2, "both to be settled")
    assert settler.stop(10) == 0
    assert book.postings == [new, new]


def test_what_was_fenced_off_is_told_apart() -> None:
    book, told = Book(), Told()
    kept, lost = delivery("kept"), delivery("fenced")
    with running(book, told) as settler:
        settler.put(Settlement(kept, SUCCEEDED))
        settler.put(Settlement(lost, SUCCEEDED))
        until(lambda: len(told.settled) == 2, "both to be settled")
    assert told.fenced == [lost]


@pytest.mark.parametrize("error", [MailboxUnavailable("gone"), MailboxRefused("read-only")])
def test_an_error_of_the_mailbox_is_tried_again_until_it_goes_well(error: Exception) -> None:
    book, told = Book(), Told()
    book.fail("settle", error, times=3)
    with capture_logs() as logs, running(book, told) as settler:
        settler.put(Settlement(delivery(), SUCCEEDED))
        until(lambda: told.settled, "the settlement")
    assert book.calls == 4 * ["settle"]
    assert [line["event"] for line in logs] == 3 * ["settlements wait"]


def test_a_group_that_is_refused_is_tried_one_by_one() -> None:
    book, told = Book(), Told()
    given = [delivery() for _ in range(5)]
    book.gate.clear()
    with running(book, told) as settler:
        for each in given:
            settler.put(Settlement(each, SUCCEEDED))
        book.fail("settle", MailboxRefused("one of them is too much"))
        book.gate.set()
        until(lambda: len(told.settled) == 5, "all to be settled")
    assert sorted(told.settled, key=lambda each: each.fence) == given


def test_one_settlement_that_is_always_refused_does_not_hold_up_the_others() -> None:
    book, told = Book(), Told()
    refused, others = delivery("refused"), [delivery() for _ in range(5)]
    book.refuses = lambda each: each is refused
    book.gate.clear()
    with running(book, told, seconds=0.1) as settler:
        for each in (others[0], refused, *others[1:]):
            settler.put(Settlement(each, SUCCEEDED))
        book.gate.set()
        until(lambda: book.calls.count("settle") > 12, "several tries")
    assert set(others) <= set(told.settled)


def test_stopping_writes_what_has_gathered() -> None:
    book, told = Book(), Told()
    book.gate.clear()
    settler = Settler(book, busy=lambda: True, settled=told)
    settler.start()
    for _ in range(100):
        settler.put(Settlement(delivery(), SUCCEEDED))
    threading.Timer(0.05, book.gate.set).start()
    assert settler.stop(10) == 0
    assert len(told.settled) == 100


def test_stopping_gives_up_in_time_and_tells_how_many_could_not_be_written() -> None:
    book, told = Book(), Told()
    book.fail("settle", MailboxUnavailable("gone"), times=10_000)
    settler = Settler(book, busy=lambda: False, settled=told)
    settler.start()
    for _ in range(7):
        settler.put(Settlement(delivery(), SUCCEEDED))
    assert settler.stop(0.05) == 7
    assert told.settled == []


def test_what_is_under_way_when_time_is_up_counts_as_unwritten() -> None:
    book, told = Book(), Told()
    book.gate.clear()
    settler = Settler(book, busy=lambda: False, settled=told)
    settler.start()
    settler.put(Settlement(delivery(), SUCCEEDED))
    until(lambda: not settler._waiting, "the group to be taken")
    try:
        assert settler.stop(0.01) == 1
    finally:
        book.gate.set()
        settler._thread.join(20)
