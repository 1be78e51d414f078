"""As many threads drain a buffer as can do something, and one where more would stand in its way."""

from typing import Any, cast

from callboard.actors.threads import LOOK_SECONDS, Threads
from callboard.actors.ticket import Ticket


class Queue:
    """All that a ticket asks of its consumer."""

    queue = "orders"


def ticket(*, in_handler: bool = True) -> Ticket:
    made = Ticket(cast("Any", Queue()))
    made.in_handler = in_handler
    return made


def crowd(threads: Threads, *tickets: Ticket, second: float = 1.0) -> None:
    """Two looks between which the tickets' threads began many short handlers and used a processor up."""
    threads.look(second, second, 0)
    for each in tickets:
        each.begun += 100
    threads.look(second + 0.1, second + 0.095, 100_000)


def test_nobody_is_wanted_where_nothing_waits() -> None:
    assert not Threads(8).wants_more(0)


def test_another_thread_is_wanted_while_those_out_are_in_handlers() -> None:
    threads = Threads(8)
    threads.give(ticket(in_handler=True))
    assert threads.wants_more(1)


def test_no_other_thread_is_wanted_while_one_is_free_for_each_that_waits() -> None:
    threads = Threads(8)
    threads.give(ticket(in_handler=False))
    assert not threads.wants_more(1)
    assert threads.wants_more(2)


def test_there_are_never_more_tickets_than_threads() -> None:
    threads = Threads(2)
    had_free = []
    for _ in range(2):
        had_free.append(threads.has_free)
        threads.give(ticket())
    assert [*had_free, threads.has_free] == [True, True, False]
    assert not threads.wants_more(100)


def test_short_handlers_that_use_the_processor_up_need_one_thread() -> None:
    threads = Threads(8)
    first, second = threads.give(ticket()), threads.give(ticket())
    crowd(threads, first, second)
    assert threads.crowded
    assert not threads.wants_more(100)
    assert threads.leave(first)
    assert not threads.leave(second)
    assert len(threads) == 1


def test_handlers_that_wait_get_all_threads() -> None:
    threads = Threads(8)
    out = threads.give(ticket())
    threads.look(1.0, 1.0, 0)
    out.begun += 1
    threads.look(1.1, 1.001, 100)
    assert not threads.crowded
    assert threads.wants_more(1)


def test_long_handlers_that_use_the_processor_get_all_threads() -> None:
    threads = Threads(8)
    out = threads.give(ticket())
    threads.look(1.0, 1.0, 0)
    out.begun += 1
    threads.look(1.1, 1.1, 10)
    assert not threads.crowded


def test_a_slow_handler_among_short_ones_is_replaced() -> None:
    threads = Threads(8)
    slow, quick = threads.give(ticket()), threads.give(ticket())
    threads.look(1.0, 1.0, 0)
    quick.begun += 100
    crowd(threads, quick, second=2.0)
    assert slow.stuck
    assert not threads.wants_more(100)
    threads.back(quick)
    assert threads.wants_more(1)


def test_a_thread_stays_when_the_other_is_stuck() -> None:
    threads = Threads(8)
    slow, quick = threads.give(ticket()), threads.give(ticket())
    threads.look(1.0, 1.0, 0)
    quick.begun += 100
    threads.look(1.1, 1.095, 100_000)
    assert slow.stuck
    assert not threads.leave(quick)


def test_what_threads_do_is_looked_at_no_oftener_than_it_can_change() -> None:
    threads = Threads(8)
    out = threads.give(ticket())
    threads.look(1.0, 1.0, 0)
    threads.look(1.0 + LOOK_SECONDS / 2, 1.0, 0)
    threads.look(1.0 + LOOK_SECONDS / 2, 1.0, 0)
    assert not out.stuck
