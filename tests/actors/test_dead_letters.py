"""Dead letters of an app: found by what they have in common, replayed and discarded; memory and a server."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, Event, Retry
from callboard.actors.dead_letters import DeadFilter, DeadLetters
from callboard.actors.mailbox.forgetting import about_to_be_forgotten
from callboard.actors.mailbox.infos import DeadLettersInfo, QueueInfo
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import OutcomeKind, Reason
from callboard.messages.errors import ConfigurationError
from tests.actors.buried import bury
from tests.actors.mailbox.conformance import check_conservation
from tests.actors.mailbox.roles import RolesMailbox
from tests.actors.rehearsal import OrderPlaced, OrderShipped, queue_of, until, work_off, working
from tests.servers import Server

T = TypeVar("T")

MEGABYTE = 1 << 20


class Bank:
    """What handlers fail at as long as it is away."""

    def __init__(self) -> None:
        self.is_away = True
        self.paid: list[str] = []

    def pay(self, order: str) -> None:
        if self.is_away:
            raise ConnectionError("the bank is away")
        self.paid.append(order)


def failing(app: Callboard, bank: Bank) -> None:
    """Two actors that fail in ways of their own while the bank is away."""

    @app.actor(retry=Retry.never())
    def pay(event: OrderPlaced) -> None:
        bank.pay(event.order_id)

    @app.actor(retry=Retry.never())
    def ship(event: OrderShipped, ctx: Context) -> None:
        if bank.is_away:
            raise KeyError(event.order_id)


def all_dead(app: Callboard, bank: Bank, orders: int = 3) -> None:
    """So many dead letters of the one actor, and one of the other."""
    failing(app, bank)
    for number in range(orders):
        app.publish(OrderPlaced(f"A-{number}"))
    app.publish(OrderShipped("A-0"))
    work_off(app)


def test_letters_are_grouped_by_actor_reason_error_and_fingerprint(app: Callboard) -> None:
    all_dead(app, Bank())
    pay, ship = app.dead_letters.groups()
    assert (pay.actor, pay.reason, pay.error, pay.count) == ("pay", Reason.MAX_ATTEMPTS, "ConnectionError", 3)
    assert (ship.actor, ship.error, ship.count) == ("ship", "KeyError", 1)
    assert len({pay.fingerprint, ship.fingerprint}) == 2
    assert pay.first_at <= pay.last_at
    latest = app.mailbox.records.get(pay.example)
    assert latest is not None
    assert latest.at == pay.last_at


def test_each_filter_finds_its_own(app: Callboard) -> None:
    all_dead(app, Bank())
    letters = app.dead_letters
    every = list(letters.each())
    pay, ship = letters.groups()
    one = next(each for each in every if each.actor == "ship")
    found = {
        "actor": DeadFilter(actor="ship"),
        "error": DeadFilter(error="KeyError"),
        "fingerprint": DeadFilter(fingerprint=ship.fingerprint[:6]),
        "event id": DeadFilter(event=one.facts.event),
        "contract": DeadFilter(event="order.shipped"),
    }
    for name, where in found.items():
        assert [each.id for each in letters.each(where)] == [one.id], name
    assert len(list(letters.each(DeadFilter(reason=Reason.MAX_ATTEMPTS, queue="default")))) == 4
    assert list(letters.each(DeadFilter(reason=Reason.POISON))) == []
    assert list(letters.each(DeadFilter(queue="other"))) == []
    assert list(letters.each(DeadFilter(since=every[0].at + 1))) == []
    assert len(list(letters.each(DeadFilter(until=every[0].at)))) == 4
    assert pay.count == 3


def test_what_is_replayed_is_handled_with_its_id_its_causes_and_its_first_attempt(app: Callboard) -> None:
    bank, seen = Bank(), []

    @app.actor(retry=Retry.every("1ms", max_attempts=2))
    def pay(event: OrderPlaced, ctx: Context) -> None:
        seen.append((ctx.id, ctx.correlation_id, ctx.attempt, event))
        bank.pay(event.order_id)

    receipt = app.publish(OrderPlaced("A-1", 25.0), correlation_id="cart-7")
    work_off(app)
    bank.is_away = False
    mended = app.dead_letters.replay()
    assert (mended.matched, mended.done) == (1, 1)
    work_off(app)
    told = [(receipt.id, "cart-7", attempt, OrderPlaced("A-1", 25.0)) for attempt in (1, 2, 1)]
    assert seen == told
    assert bank.paid == ["A-1"]
    assert app.dead_letters.groups() == []
    check_conservation(app.mailbox.info())


def rest(app: Callboard) -> None:
    """Wait until nothing is live."""
    until(lambda: not queue_of(app).live, "rest")


def test_a_replay_that_fails_again_is_met_once(app: Callboard) -> None:
    bank = Bank()
    failing(app, bank)
    for number in range(5):
        app.publish(OrderPlaced(f"A-{number}"))
    with working(app):
        until(lambda: queue_of(app).dead == 5, "five dead letters")
        # Slowly, so that the first have died again before the last are replayed.
        mended = app.dead_letters.replay(
            rate=50, show=lambda _count: until(lambda: not queue_of(app).live, "rest")
        )
    assert (mended.matched, mended.done) == (5, 5)
    assert (queue_of(app).dead, queue_of(app).replayed) == (10, 5)


def test_a_replay_can_be_run_twice_and_be_broken_off(app: Callboard) -> None:
    bank = Bank()
    all_dead(app, bank, orders=5)
    bank.is_away = False

    def break_off(count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    letters = DeadLetters(app.mailbox, sleep=lambda _seconds: None)
    with pytest.raises(KeyboardInterrupt):
        letters.replay(DeadFilter(actor="pay"), rate=1, show=break_off)
    rest = letters.replay(DeadFilter(actor="pay"))
    assert (rest.matched, rest.done) == (3, 3)
    assert letters.replay(DeadFilter(actor="pay")).matched == 0
    work_off(app)
    assert sorted(bank.paid) == [f"A-{number}" for number in range(5)]
    assert queue_of(app).replayed == 5
    check_conservation(app.mailbox.info())


def test_a_dry_run_only_counts(app: Callboard) -> None:
    all_dead(app, Bank())
    for mend in (app.dead_letters.replay, app.dead_letters.discard):
        mended = mend(DeadFilter(actor="pay"), dry_run=True)
        assert (mended.dry_run, mended.matched, mended.done) == (True, 3, 0)
    assert queue_of(app).dead_letters.count == 4
    assert queue_of(app).live == 0


def test_a_limit_takes_those_that_died_first(app: Callboard) -> None:
    all_dead(app, Bank())
    oldest = [each.id for each in app.dead_letters.each(DeadFilter(actor="pay"), newest_first=False)]
    assert app.dead_letters.replay(DeadFilter(actor="pay"), limit=2).done == 2
    assert [each.id for each in app.dead_letters.each(DeadFilter(actor="pay"))] == oldest[2:]


def test_single_letters_are_replayed_by_name(app: Callboard) -> None:
    all_dead(app, Bank())
    first, *_ = app.dead_letters.each()
    assert app.dead_letters.replay(names=[first.id]).done == 1
    assert queue_of(app).dead_letters.count == 3


def test_a_choice_of_names_that_came_out_empty_is_none_of_them(app: Callboard) -> None:
    all_dead(app, Bank())
    chosen = [each.id for each in app.dead_letters.each() if each.history.attempts > 99]
    assert app.dead_letters.discard(names=chosen).matched == 0
    assert app.dead_letters.replay(names=iter(chosen)).matched == 0
    assert queue_of(app).dead_letters.count == 4


def test_what_was_published_again_meanwhile_is_told_as_a_duplicate(app: Callboard) -> None:
    class Paid(Event, name="order.paid", dedup="order_id"):
        order_id: str

    bank = Bank()

    @app.actor(retry=Retry.never())
    def pay(event: Paid) -> None:
        bank.pay(event.order_id)

    app.publish(Paid("A-1"))
    work_off(app)
    bank.is_away = False
    app.publish(Paid("A-1"))
    work_off(app)
    mended = app.dead_letters.replay()
    assert (mended.done, mended.duplicate) == (0, 1)
    assert queue_of(app).dead_letters.count == 1
    assert bank.paid == ["A-1"]


def test_a_letter_for_another_actor_must_be_what_that_subscribes_to(app: Callboard) -> None:
    bank = Bank()
    all_dead(app, bank)
    rescued: list[str] = []
    newer = Callboard("newer", mailbox=app.mailbox)

    @newer.actor(queue="rescue")
    def rescue(event: OrderPlaced) -> None:
        rescued.append(event.order_id)

    with pytest.raises(ConfigurationError, match="no actor 'rescue' is registered"):
        app.dead_letters.replay(to="rescue")
    work_off(newer)  # registers it
    with pytest.raises(ConfigurationError, match="does not subscribe to order"):
        app.dead_letters.replay(DeadFilter(actor="ship"), to="rescue")
    assert app.dead_letters.replay(DeadFilter(actor="pay"), to="rescue").done == 3
    work_off(newer)
    assert sorted(rescued) == ["A-0", "A-1", "A-2"]
    check_conservation(app.mailbox.info())


class PaidOnce(Event, name="order.paid"):
    """As it was."""

    amount: int


class Paid(Event, name="order.paid", version=2):
    """As it is now."""

    cents: int


def test_an_older_body_goes_through_the_upcasters_when_it_is_replayed(mailbox: Mailbox) -> None:
    old, new = (Callboard("shop", mailbox=mailbox) for _ in range(2))
    seen: list[Paid] = []

    @old.actor(name="pay", retry=Retry.never())
    def fail(event: PaidOnce) -> None:
        raise ConnectionError

    @new.actor
    def pay(event: Paid) -> None:
        seen.append(event)

    new.upcast(Paid, from_version=1)(lambda before: {"cents": before["amount"] * 100})
    old.publish(PaidOnce(3))
    work_off(old)
    assert new.dead_letters.replay().done == 1
    work_off(new)
    assert seen == [Paid(300)]


def test_the_reasons_of_all_records_are_what_was_counted(app: Callboard) -> None:
    """Invariant I6: all that has not succeeded has one reason, and counters agree with records."""
    all_dead(app, Bank())
    letters = app.dead_letters
    names = [each.id for each in letters.each()]
    assert letters.discard(DeadFilter(actor="ship")).done == 1
    assert letters.replay(DeadFilter(actor="pay"), limit=1).done == 1
    work_off(app)
    records = app.mailbox.ended("default", 100)
    queue = queue_of(app)
    assert all(each.reason is not None for each in records)
    kept = [app.mailbox.records.get(name) for name in names]
    replayed = [each for each in kept if each is not None and each.replayed_at is not None]
    dead = [each for each in records if each.kind is OutcomeKind.DEAD]
    discarded = [each for each in records if each.kind is OutcomeKind.DISCARDED]
    assert queue.dead == len(dead) + len(replayed) == 4
    assert [each.reason for each in discarded] == [Reason.OPERATOR]
    assert queue.discarded == len(discarded)
    assert queue.dead_letters.count == len(dead)
    check_conservation(app.mailbox.info())


# How much at once, and for how long.


@pytest.fixture
def crowded(server: Server) -> Iterator[RedisMailbox]:
    """100,000 dead letters on a server."""
    mailbox = RolesMailbox(server.url, f"crowded-{time.time_ns()}")
    bury(mailbox, 100_000)
    yield mailbox
    mailbox.close()


def peak_of(do: Callable[[], T]) -> tuple[T, int]:
    """What it comes to, and the most memory of Python's that it took."""
    tracemalloc.start()
    came_to = do()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return came_to, peak


@pytest.mark.timeout(600)  # a hundred thousand are put there first; it is about memory, not about time
def test_a_hundred_thousand_are_listed_grouped_and_replayed_in_flat_memory(crowded: RedisMailbox) -> None:
    letters = DeadLetters(crowded)
    groups, grouping = peak_of(letters.groups)
    assert {each.error: each.count for each in groups} == {"IOError": 50_000, "KeyError": 50_000}
    listed, listing = peak_of(lambda: sum(1 for _ in letters.each()))
    assert listed == 100_000
    mended, replaying = peak_of(lambda: letters.replay(DeadFilter(error="KeyError")))
    assert mended.done == 50_000
    assert max(grouping, listing, replaying) < 8 * MEGABYTE
    (queue,) = crowded.info().queues
    assert (queue.ready, queue.replayed, queue.dead_letters.count) == (50_000, 50_000, 50_000)
    check_conservation(crowded.info())


# What is about to be forgotten.


@pytest.mark.parametrize(
    ("count", "now", "words"),
    [(10, 899, []), (10, 900, ["first is forgotten"]), (79, 0, []), (80, 0, ["of 100 that are kept"])],
)
def test_a_warning_comes_before_anything_is_forgotten(count: int, now: int, words: list[str]) -> None:
    queue = QueueInfo("orders", dead_letters=DeadLettersInfo(count, 1, 1001, 1))
    told = list(about_to_be_forgotten([queue], now + 1, 100))
    assert len(told) == len(words)
    assert all(word in line for word, line in zip(words, told, strict=True))
    assert list(about_to_be_forgotten([QueueInfo("empty")], now, 100)) == []


def test_a_worker_warns_of_what_is_about_to_be_forgotten(mailbox: Mailbox) -> None:
    app = Callboard("shop", mailbox=mailbox, dead_letters=4)
    all_dead(app, Bank())
    with capture_logs() as logs:
        work_off(app)
    (warning,) = [each for each in logs if each["event"] == "dead letters will be forgotten"]
    assert "4 dead letters, of 4 that are kept" in warning["told"]
