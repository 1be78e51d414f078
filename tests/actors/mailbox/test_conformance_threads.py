"""What every mailbox keeps when many threads use it at once."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from callboard.actors.mailbox.mailbox import Mailbox, Posting, Verdict
from callboard.messages.delivery import Delivery
from tests.actors.mailbox.conformance import (
    BRIEF,
    DEADLINE,
    LONG,
    RELEASED,
    SUCCEEDED,
    Stage,
    check_conservation,
    posting,
    retried,
    settlement,
    target,
)

T = TypeVar("T")


def at_once(threads: int, work: Callable[[int], T]) -> list[T]:
    """What each thread's work came to, all of them started together."""
    start = threading.Barrier(threads)

    def begin(number: int) -> T:
        start.wait(DEADLINE)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def test_of_sixteen_publishers_of_the_same_keys_one_is_accepted_for_each(live_stage: Stage) -> None:
    keys = [str(number) for number in range(200)]
    mailbox = live_stage.mailbox

    def publish(number: int) -> Counter[tuple[str, Verdict]]:
        order = keys[number * 12 :] + keys[: number * 12]
        verdicts = Counter[tuple[str, Verdict]]()
        for first in range(0, len(order), 10):
            some = order[first : first + 10]
            answers = mailbox.publish([posting(target(key)) for key in some])
            verdicts.update((key, verdict) for key, (verdict,) in zip(some, answers, strict=True))
        return verdicts

    total = sum(at_once(16, publish), Counter[tuple[str, Verdict]]())
    assert {key: total[key, Verdict.ACCEPTED] for key in keys} == dict.fromkeys(keys, 1)
    assert {key: total[key, Verdict.DUPLICATE] for key in keys} == dict.fromkeys(keys, 15)
    queue = live_stage.queue()
    assert (queue.accepted, queue.ready, queue.duplicates) == (200, 200, 3000)


def test_eight_fetchers_get_each_delivery_once(live_stage: Stage) -> None:
    live_stage.publish_keys(*(str(number) for number in range(400)))
    mailbox = live_stage.mailbox

    def fetch(number: int) -> list[Delivery]:
        got: list[Delivery] = []
        while some := mailbox.fetch("orders", 7, owner=f"worker-{number}", lease_ms=LONG).deliveries:
            got += some
        return got

    taken = [delivery for got in at_once(8, fetch) for delivery in got]
    assert len(taken) == 400
    assert {delivery.key for delivery in taken} == {str(number) for number in range(400)}


def test_eight_repeats_of_a_settlement_count_once(live_stage: Stage) -> None:
    live_stage.publish_keys(*(str(number) for number in range(50)))
    mailbox = live_stage.mailbox
    outgoing = [posting(target(str(number), queue="next", actor="next")) for number in range(50)]
    taken = live_stage.fetch().deliveries
    group = [settlement(each, SUCCEEDED, out) for each, out in zip(taken, outgoing, strict=True)]
    answers = at_once(8, lambda _: mailbox.settle(group))
    assert answers == [[True] * 50] * 8
    assert (live_stage.queue().succeeded, live_stage.queue("next").accepted) == (50, 50)
    assert live_stage.queue("next").duplicates == 0


def test_of_two_holders_of_a_delivery_only_the_later_settles(live_stage: Stage) -> None:
    live_stage.publish_keys(*(str(number) for number in range(30)))
    early = live_stage.lose()
    late = []
    while some := live_stage.fetch(alone=True).deliveries:
        late += some
    mailbox = live_stage.mailbox
    by_holder = at_once(
        2, lambda number: mailbox.settle([settlement(each) for each in (early, late)[number]])
    )
    assert by_holder == [[False] * 30, [True] * 30]
    assert (live_stage.queue().succeeded, live_stage.queue().fenced) == (30, 30)


def _work_until(empty: threading.Event, mailbox: Mailbox, number: int) -> None:
    """A worker that succeeds mostly, and otherwise retries, gives back or forgets what it holds."""
    turn = 0
    while not empty.is_set():
        turn += 1
        fetched = mailbox.fetch("orders", 5, owner=f"worker-{number}", lease_ms=BRIEF, alone=turn % 3 == 0)
        for position, delivery in enumerate(fetched.deliveries):
            choice = (turn + position) % 7
            if choice == 0 and not delivery.alone:
                continue
            outcome = {1: retried(), 2: RELEASED, 3: retried(5)}.get(choice, SUCCEEDED)
            mailbox.settle([settlement(delivery, outcome)])


def test_nothing_is_lost_at_any_moment_among_publishers_and_careless_workers(live_stage: Stage) -> None:
    mailbox, empty = live_stage.mailbox, threading.Event()
    publishers, each = 2, 60

    def publish(number: int) -> None:
        postings: list[Posting] = [posting(target(f"{number}-{key}")) for key in range(each)]
        for first in range(0, each, 6):
            mailbox.publish(postings[first : first + 6])

    def watch() -> None:
        for _ in live_stage.patience():
            info = mailbox.info()
            check_conservation(info)
            if [queue.succeeded for queue in info.queues] == [publishers * each]:
                break
        empty.set()

    jobs = [lambda: publish(0), lambda: publish(1), watch, *[_worker(empty, mailbox, n) for n in range(3)]]
    at_once(len(jobs), lambda number: jobs[number]())
    queue = live_stage.queue()
    assert queue.accepted == queue.succeeded == publishers * each
    assert (queue.ready, queue.leased, queue.scheduled, queue.suspects) == (0, 0, 0, 0)


def _worker(empty: threading.Event, mailbox: Mailbox, number: int) -> Callable[[], None]:
    return lambda: _work_until(empty, mailbox, number)


@pytest.mark.parametrize("threads", [4])
def test_info_may_be_read_while_others_write(live_stage: Stage, threads: int) -> None:
    mailbox = live_stage.mailbox

    def publish_or_look(number: int) -> None:
        for turn in range(25):
            if number:
                mailbox.publish([posting(target(f"{number}-{turn}", queue=f"queue-{turn}"))])
            else:
                check_conservation(mailbox.info())

    at_once(threads, publish_or_look)
    assert sum(queue.accepted for queue in mailbox.info().queues) == 25 * (threads - 1)
