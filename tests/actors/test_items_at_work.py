"""Items under a real worker: what was done is durable before the outcome, and done once."""

import asyncio
import contextlib
import threading

import pytest

from callboard import Callboard, Context, Retry
from callboard.actors.mailbox.mailbox import Mailbox, Settlement
from callboard.messages.delivery import SUCCEEDED, Delivery
from callboard.messages.errors import MailboxRefused, MailboxUnavailable
from callboard.messages.items import ItemStatus
from tests.actors.catalog import CatalogChanged, Declare, Partner, both, skus, states
from tests.actors.rehearsal import (
    AT_ONCE,
    FaultyMailbox,
    ended,
    held_by_a_consumer,
    new_app,
    queue_of,
    until,
    work_off,
    working,
)

QUICK = Retry.every("1 ms", max_attempts=20)


@both
@pytest.mark.parametrize("durable", [False, True])
def test_of_a_hundred_items_only_what_failed_runs_again(
    app: Callboard, declare: Declare, durable: bool
) -> None:
    partner = Partner(*(f"sku-{number}" for number in range(0, 100, 9)))
    declare(app, partner, durable=durable, retry=AT_ONCE)
    app.publish(CatalogChanged(skus(100)))
    work_off(app)
    failing = [sku for sku in skus(100) if sku in partner.failing]
    assert partner.take_calls() == [*skus(100), *failing, *failing]
    record = ended(app)
    assert record.reason == "max_attempts"
    assert record.history.last_error is not None
    assert record.history.last_error.type == "PartialFailure"
    kept = app.mailbox.ledger.of_ended(record.id)
    assert len(kept) == 100
    assert {each.key for each in kept if each.status is ItemStatus.FAILED} == set(failing)
    assert {each.attempts for each in kept if each.key in failing} == {3}


@both
def test_a_success_leaves_nothing_behind(app: Callboard, declare: Declare) -> None:
    partner = Partner("sku-1")
    declare(app, partner, retry=QUICK)
    partner.sync = lambda sku: _heal(partner, sku)  # type: ignore[method-assign]
    app.publish(CatalogChanged(skus(3)), dedup_key="A")
    work_off(app)
    assert queue_of(app).succeeded == 1
    assert app.mailbox.ledger.of("sync:A") == []


def _heal(partner: Partner, sku: str) -> None:
    Partner.sync(partner, sku) if sku not in partner.calls else partner.calls.append(sku)


@both
@pytest.mark.parametrize("error", [MailboxUnavailable("gone"), MailboxRefused("out of memory")])
@pytest.mark.parametrize("durable", [False, True])
def test_while_items_cannot_be_written_nothing_is_settled(
    mailbox: Mailbox, declare: Declare, error: Exception, durable: bool
) -> None:
    faulty, partner = FaultyMailbox(mailbox), Partner()
    app = new_app(faulty)
    declare(app, partner, durable=durable)
    faulty.fail("write", error, times=5)
    app.publish(CatalogChanged(skus(2)), dedup_key="A")
    work_off(app)
    assert partner.take_calls() == skus(2)
    assert queue_of(app).succeeded == 1
    last_write = len(faulty.calls) - faulty.calls[::-1].index("write")
    assert "settle" not in faulty.calls[:last_write]


def test_when_it_cannot_be_read_what_was_done_the_attempt_is_given_back_uncharged(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.middleware.timeout.UNREADABLE_MS", 1)
    faulty, partner, attempts = FaultyMailbox(mailbox), Partner(), list[int]()
    app = new_app(faulty)

    @app.actor(name="sync", retry=QUICK)
    def sync(event: CatalogChanged, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        for item in ctx.items(event.skus):
            with item:
                partner.sync(item.value)
                if ctx.attempt == 1:
                    raise ConnectionError

    faulty.fail("of", MailboxUnavailable("gone"), times=2)
    app.publish(CatalogChanged(skus(2)))
    work_off(app)
    assert attempts == [1, 2, 2, 2]
    assert queue_of(app).released == 2
    assert queue_of(app).succeeded == 1


@pytest.mark.parametrize("durable", [False, True])
def test_a_holder_that_was_taken_over_goes_to_no_further_item_and_changes_none(
    mailbox: Mailbox, durable: bool
) -> None:
    app, partner = new_app(mailbox), Partner()
    taken: list[Delivery] = []

    @app.actor(name="sync", retry=QUICK, timeout="20s")
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus, durable=durable):
            with item:
                partner.sync(item.value)
                if item.value == "sku-1":
                    until(lambda: _take_over(app, taken), "a takeover")

    app.publish(CatalogChanged(skus(4)), dedup_key="A")
    with held_by_a_consumer(app) as consumer:
        app.broker.item_writer.start()
        (late,) = app.mailbox.fetch("default", 1, owner="me", lease_ms=1).deliveries
        consumer.worker.held.add(late)
        consumer.worker.perform(late, app.broker.guarded("sync"))
        until(lambda: not consumer.worker.held, "the late attempt to be fenced off")
        app.broker.item_writer.stop(10)
    kept = states(app.mailbox.ledger.of("sync:A"))
    assert kept.items() <= {"sku-0": "succeeded"}.items()  # written behind, it may have been too late
    if durable:
        assert kept == {"sku-0": "succeeded"}
        assert partner.calls == skus(2)
    assert queue_of(app).fenced == 1
    (holder,) = taken
    assert app.mailbox.settle([Settlement(holder, SUCCEEDED)]) == [True]


def test_what_a_stuck_handler_did_before_stays_done_and_what_it_does_later_changes_nothing(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.middleware.deadline.STUCK_AFTER", 0.1)
    app, calls = new_app(mailbox), list[tuple[int, str]]()
    let_go = threading.Event()

    @app.actor(name="sync", retry=QUICK, timeout="50ms")
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                calls.append((ctx.attempt, item.value))
                while ctx.attempt == 1 and item.value == "sku-1" and not let_go.is_set():
                    with contextlib.suppress(BaseException):
                        let_go.wait(0.01)

    app.publish(CatalogChanged(skus(3)), dedup_key="A")
    with working(app):
        until(lambda: queue_of(app).succeeded == 1, "the next attempt to succeed")
        process = app.broker._worker
        assert process is not None
        assert len(process.stuck) == 1
        let_go.set()
        until(lambda: not process.stuck, "the stuck handler to end")
    assert calls == [(1, "sku-0"), (1, "sku-1"), (2, "sku-1"), (2, "sku-2")]
    assert app.mailbox.ledger.of("sync:A") == []


def _take_over(app: Callboard, taken: list[Delivery]) -> bool:
    fetched = app.mailbox.fetch("default", 1, owner="other", lease_ms=60_000, alone=True)
    taken.extend(fetched.deliveries)
    return bool(taken)


def test_what_a_worker_did_before_it_stopped_is_not_done_again(mailbox: Mailbox) -> None:
    app = new_app(mailbox, grace="50ms")
    calls: list[str] = []
    begun = threading.Event()

    @app.actor(name="sync", retry=QUICK, timeout="20s")
    async def sync(event: CatalogChanged, ctx: Context) -> None:
        async for item in ctx.items(event.skus):
            async with item:
                calls.append(item.value)
                if calls == skus(3):
                    begun.set()
                    await asyncio.sleep(20)

    app.publish(CatalogChanged(skus(4)))
    with working(app):
        until(begun.is_set, "the third item to be begun")
    assert (queue_of(app).released, queue_of(app).retried) == (1, 0)
    work_off(app)
    assert calls == [*skus(3), "sku-2", "sku-3"]
    assert queue_of(app).succeeded == 1


def test_a_timeout_between_any_two_steps_leaves_at_most_one_item_to_be_done_again(app: Callboard) -> None:
    calls: list[int] = []
    attempts: list[int] = []
    interrupted = 0

    @app.actor(name="sync", retry=Retry.every("1 ms"), timeout="5ms")
    def sync(event: CatalogChanged, ctx: Context) -> None:
        del event
        attempts.append(ctx.attempt)
        # Longer each time, for what is done has to be passed over.
        ctx.set_timeout(0.003 + 0.002 * ctx.attempt)
        for item in ctx.items(range(3000)):
            with item:
                calls.append(item.value)

    for _ in range(5):
        app.publish(CatalogChanged([]))
        work_off(app)
        assert set(calls) == set(range(3000))
        assert len(calls) - 3000 <= len(attempts) - 1
        interrupted += len(attempts) - 1
        calls.clear()
        attempts.clear()
    assert interrupted > 0
