"""Counters agree with what the mailbox says (invariant I17), whatever became of deliveries."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import Middleware
from prometheus_client import CollectorRegistry, generate_latest

from callboard import (
    Callboard,
    CallboardBroker,
    Context,
    Dedup,
    Discard,
    DiscardEvent,
    Event,
    MemoryDedupStore,
    MemoryMailbox,
    RejectEvent,
    RetryLater,
)
from callboard.actors.mailbox.suspects import Suspects
from callboard.observability.cells import Book
from callboard.observability.metrics import (
    AGE,
    ATTEMPTS,
    CLAIMS,
    DUPLICATES,
    ENDED,
    ERRORS,
    FENCED,
    ITEMS,
    OTHER,
    OVERFLOW,
    PARTIAL,
    PLAIN,
    PROCESSING,
    PUBLISHED,
    SETTLED,
    STORE_ERRORS,
    STORE_SECONDS,
    TAKEOVERS,
    TIMEOUTS,
    UNROUTED,
    WAIT,
    Instrument,
)
from tests.actors.rehearsal import (
    AT_ONCE,
    OrderPlaced,
    OrderShipped,
    body_of,
    held_by_a_consumer,
    new_app,
    orders,
    post,
    queue_of,
    until,
    work_off,
    working,
)


class Trial(Event, name="trial", key="number"):
    """Says what its handler shall do."""

    number: int
    what: str


def series(app: Callboard, instrument: Instrument, *by: str) -> Counter[Any]:
    """The sums of a counter by some of its labels."""
    found: Counter[Any] = Counter()
    for labels, value in app.metrics.cells.total().counters.get(instrument.name, {}).items():
        told = dict(zip(instrument.labels, labels, strict=True))
        found[told[by[0]] if len(by) == 1 else tuple(told[each] for each in by)] += int(value)
    return +found


def total(app: Callboard, instrument: Instrument) -> int:
    """The sum of a counter over all labels."""
    return series(app, instrument, *instrument.labels).total()


def observed(app: Callboard, instrument: Instrument) -> int:
    """How many values a histogram has."""
    known = app.metrics.cells.total().histograms.get(instrument.name, {})
    return sum(sum(tally.counts) for tally in known.values())


FAILURES: dict[str, tuple[BaseException, int]] = {
    "succeed": (ValueError("no"), 0),
    "reject": (RejectEvent("no"), 1),
    "discard": (DiscardEvent("no"), 1),
    "fail": (ValueError("no"), 3),
    "recover": (KeyError("no"), 1),
    "later": (RetryLater(1), 2),
    "base": (SystemExit(), 3),
}
"""What is raised by which trial, and in how many attempts."""

TRIALS = [*FAILURES, "slow", "items"]


def declare_trials(app: Callboard) -> None:
    """An actor with failures of each kind, which drops what is unwanted, and one that publishes."""

    @app.actor(name="trial", queue="trials", retry=AT_ONCE, timeout="50ms", discard=Discard(when=is_unwanted))
    def trial(event: Trial, ctx: Context) -> None:
        if event.what == "items":
            for item in ctx.items(range(4), key=str):
                with item:
                    assert item.value or ctx.attempt == 3
        elif event.what == "slow":
            while True:
                time.sleep(0.01)
        elif ctx.attempt <= FAILURES[event.what][1]:
            raise FAILURES[event.what][0]

    @app.actor(name="publish", queue="publishers")
    def publish(event: Trial, ctx: Context) -> None:
        ctx.publish(OrderShipped(str(event.number)))


def is_unwanted(event: Trial) -> bool:
    """Whether the trials' actor drops an event."""
    return event.what == "unwanted"


def test_counters_are_what_the_mailbox_and_its_records_say(app: Callboard) -> None:
    declare_trials(app)
    app.contract(OrderShipped)
    rounds = [*TRIALS, "unwanted"] * 3
    app.publish_many([Trial(number, what) for number, what in enumerate(rounds)])
    work_off(app)
    records = [each for queue in ("trials", "publishers") for each in app.mailbox.ended(queue, 1000)]
    infos = app.mailbox.info().queues
    outcomes, results = series(app, SETTLED, "outcome"), series(app, ENDED, "result")
    for kind in ("succeeded", "retried", "dead", "discarded"):
        assert outcomes[kind] == sum(getattr(info, kind) for info in infos), kind
    assert outcomes["released"] == sum(info.released for info in infos)
    assert results == {kind: outcomes[kind] for kind in ("succeeded", "dead", "discarded")}
    assert results.total() == sum(info.accepted for info in infos)
    told = Counter((each.actor, each.kind, each.reason) for each in records)
    ended = series(app, ENDED, "actor", "result", "reason")
    assert {key: count for key, count in ended.items() if key[1] != "succeeded"} == told
    assert total(app, PUBLISHED) == len(rounds) * 2
    assert series(app, PUBLISHED, "event", "source") == {
        ("trial", "app"): len(rounds),
        ("order.shipped", "actor"): len(rounds),
    }
    assert series(app, UNROUTED, "event") == {"order.shipped": len(rounds)} == app.mailbox.info().unrouted
    assert (total(app, FENCED), total(app, OVERFLOW)) == (0, 0)


def test_errors_timeouts_and_items_are_counted_by_attempt(app: Callboard) -> None:
    declare_trials(app)
    app.publish_many([Trial(number, what) for number, what in enumerate(TRIALS)])
    work_off(app)
    assert series(app, ERRORS, "actor", "error") == {
        ("trial", "ValueError"): 3,
        ("trial", "KeyError"): 1,
        ("trial", "HandlerTimeout"): 3,
        ("trial", "SystemExit"): 3,
        ("trial", "RetryLater"): 2,
        ("trial", "PartialFailure"): 2,
    }
    assert series(app, TIMEOUTS, "queue", "actor") == {("trials", "trial"): 3}
    assert series(app, ITEMS, "actor", "status") == {
        ("trial", "succeeded"): 4,
        ("trial", "failed"): 2,
        ("trial", "skipped"): 6,
    }
    assert series(app, PARTIAL, "actor") == {"trial": 2}


def test_histograms_have_a_value_for_each_attempt_or_each_end(app: Callboard) -> None:
    declare_trials(app)
    app.publish_many([Trial(number, what) for number, what in enumerate(TRIALS)])
    work_off(app)
    ended = total(app, ENDED)
    assert observed(app, AGE) == observed(app, ATTEMPTS) == ended == 2 * len(TRIALS)
    assert observed(app, PROCESSING) == ended + series(app, SETTLED, "outcome")["retried"]
    assert observed(app, WAIT) == ended
    attempts = app.metrics.cells.total().histograms[ATTEMPTS.name][("trial",)]
    records = {each.id: each.history.attempts for each in app.mailbox.ended("trials", 100)}
    assert attempts.total == sum(records.values()) + 1 + 2 + 3 + 3
    assert attempts.counts[0] == sum(each == 1 for each in records.values()) + 1


def test_times_are_the_handlers_and_the_server_clocks(app: Callboard) -> None:
    @app.actor
    def slow(event: OrderPlaced) -> None:
        time.sleep(0.03)

    app.publish(OrderPlaced("A"), after=30)
    began = time.monotonic()
    work_off(app)
    took = time.monotonic() - began
    histograms = app.metrics.cells.total().histograms
    processing = histograms[PROCESSING.name][("default", "slow")].total
    wait, age = histograms[WAIT.name][("default",)].total, histograms[AGE.name][("order.placed",)].total
    assert 0.03 <= processing < took
    assert -0.005 <= wait < took
    assert processing + wait - 0.005 <= age < took + 1


def test_async_handlers_are_counted_like_others(app: Callboard) -> None:
    @app.actor(name="handler", retry=AT_ONCE)
    async def handler(event: OrderPlaced, ctx: Context) -> None:
        if event.order_id == "0":
            raise ValueError

    app.publish_many(orders(10))
    work_off(app)
    assert series(app, SETTLED, "outcome") == {"succeeded": 9, "retried": 2, "dead": 1}


def test_duplicates_of_a_publish_are_the_mailbox_s(app: Callboard) -> None:
    declare_nothing(app)
    for _ in range(3):
        app.publish(OrderPlaced("A"), dedup_key="same")
    assert series(app, DUPLICATES, "event") == {"order.placed": 4}
    assert sum(info.duplicates for info in app.mailbox.info().queues) == 4
    assert series(app, PUBLISHED, "event", "source") == {("order.placed", "app"): 3}


def declare_nothing(app: Callboard) -> None:
    """Two actors that do nothing."""

    @app.actor(name="one")
    def one(event: OrderPlaced) -> None: ...

    @app.actor(name="two")
    def two(event: OrderPlaced) -> None: ...


def test_a_settlement_that_was_fenced_off_counts_as_fenced_and_as_nothing_else(app: Callboard) -> None:
    declare_nothing(app)
    app.publish(OrderPlaced("A"))
    with held_by_a_consumer(app) as consumer:
        mine = consumer.worker.fetch("default", 2, Suspects())
        for delivery in mine.deliveries:
            guarded = app.broker.guarded(delivery.actor)
            delivery.fence -= 1  # as if another had it now
            consumer.worker.perform(delivery, guarded)
    assert series(app, FENCED, "queue") == {"default": 2}
    assert queue_of(app).fenced == 2
    assert total(app, SETTLED) == total(app, ENDED) == observed(app, PROCESSING) == 0


def test_what_was_taken_over_is_counted_where_it_comes(app: Callboard) -> None:
    declare_nothing(app)
    app.publish(OrderPlaced("A"))
    app.mailbox.fetch("default", 2, owner="lost", lease_ms=1)
    work_off(app)
    assert series(app, TAKEOVERS, "queue") == {"default": 2}
    assert queue_of(app).takeovers == 2


def test_what_is_poison_has_ended_once_like_all_else(app: Callboard) -> None:
    declare_nothing(app)
    app.publish(OrderPlaced("A"))
    with held_by_a_consumer(app) as consumer:
        worker = consumer.worker
        for crash in range(4):  # the first of them makes it a suspect
            app.mailbox.fetch("default", 1, owner="lost", lease_ms=1, alone=crash > 0)
            until(lambda: worker.fetch("default", 0, Suspects()).taken_over, "the takeover")
    assert series(app, ENDED, "actor", "event", "result", "reason") == {
        ("one", "order.placed", "dead", "poison"): 1
    }
    assert series(app, TAKEOVERS, "queue") == {"default": 4} == {"default": queue_of(app).takeovers}
    assert queue_of(app).dead == 1
    assert observed(app, ATTEMPTS) == observed(app, AGE) == 1


def test_what_is_given_back_unstarted_is_counted_with_its_event(app: Callboard) -> None:
    going = threading.Event()

    @app.actor(name="handler")
    def handler(event: OrderPlaced) -> None:
        going.set()
        until(lambda: queue_of(app).released, "the others are given back")

    app.publish_many(orders(40))
    with working(app, threads=1):
        assert going.wait(20)
    released = queue_of(app).released
    assert series(app, SETTLED, "event", "outcome")["order.placed", "released"] == released
    assert total(app, OVERFLOW) == 0


def test_calls_of_the_mailbox_are_timed(app: Callboard) -> None:
    declare_nothing(app)
    app.publish_many(orders(3))
    work_off(app)
    known = app.metrics.cells.total().histograms[STORE_SECONDS.name]
    assert {("mailbox", "fetch"), ("mailbox", "settle")} <= set(known)


def test_plain_messages_are_counted_as_such(app: Callboard) -> None:
    @dramatiq.actor(broker=app.broker, max_retries=1, min_backoff=1, max_backoff=1, queue_name="plain")
    def plain(what: str) -> None:
        if what == "fail":
            raise ValueError

    @dramatiq.actor(broker=app.broker, retry=AT_ONCE, queue_name="plain")
    def guarded(what: str) -> None:
        if what == "fail":
            raise ValueError

    for what in ("go", "fail"):
        plain.send(what)
        guarded.send(what)
    work_off(app)
    assert series(app, SETTLED, "actor", "event", "outcome") == {
        ("plain", PLAIN, "succeeded"): 1,
        ("plain", PLAIN, "retried"): 1,
        ("plain", PLAIN, "dead"): 1,
        ("guarded", PLAIN, "succeeded"): 1,
        ("guarded", PLAIN, "retried"): 2,
        ("guarded", PLAIN, "dead"): 1,
    }
    assert series(app, ERRORS, "actor") == {"plain": 2, "guarded": 3}
    assert observed(app, PROCESSING) == 7


def names_of(book: Book) -> set[tuple[str, tuple[str, ...]]]:
    """Every series of a book."""
    known: dict[str, Iterable[tuple[str, ...]]] = {**book.counters, **book.histograms}
    return {(name, labels) for name, each in known.items() for labels in each}


@pytest.mark.usefixtures("impatient")
def test_hostile_names_make_no_series(app: Callboard) -> None:
    @app.actor(name="handler")
    def handler(event: OrderPlaced) -> None: ...

    def attack(count: int) -> set[tuple[str, tuple[str, ...]]]:
        for number in range(count):
            post(app, body_of(hostile_event(number)), event=f'evil"\n{number}')
            post(app, body_of(OrderPlaced("A")), actor=f"nobody-{number}")
        work_off(app)
        return names_of(app.metrics.cells.total())

    app.publish(OrderPlaced("A"))
    first = attack(3)
    assert attack(30) == first
    assert series(app, ENDED, "actor", "event", "reason") == {
        ("handler", "order.placed", ""): 1,
        ("handler", OTHER, "unknown_contract"): 33,
        (OTHER, "order.placed", "unknown_actor"): 33,
    }
    assert series(app, OVERFLOW, "label") == {"event": 33, "actor": 33}


def hostile_event(number: int) -> Event:
    """An event of a contract that nobody has declared to the app."""
    meta: Any = type(Event)
    cls = meta(f"Evil{number}", (Event,), {"__annotations__": {}}, name=f"evil.n{number}")
    made: Event = cls()
    return made


def test_a_contract_that_nobody_declared_to_the_app_is_another(app: Callboard) -> None:
    for number in range(10):
        app.publish(hostile_event(number))
    assert series(app, PUBLISHED, "event") == {OTHER: 10}


def test_an_app_without_metrics_has_no_layer_and_counts_nothing() -> None:
    app = new_app(metrics="none")
    declare_nothing(app)
    app.publish(OrderPlaced("A"))
    work_off(app)
    guarded = app.broker.guarded("one")
    assert guarded is not None
    assert "metrics" not in [getattr(layer, "__name__", "") for layer in guarded.layers]
    assert not app.metrics.cells.total()


def test_a_registry_of_ones_own_shows_what_this_process_has_recorded() -> None:
    app, registry = new_app(), CollectorRegistry()
    app.contract(OrderPlaced)
    app.metrics.register(registry, namespace="shop")
    assert b"shop_events_published" not in generate_latest(registry)
    app.publish(OrderPlaced("A"))
    app.publish(OrderPlaced("B"))
    told = generate_latest(registry).decode()
    assert 'shop_events_published_total{event="order.placed",source="app"} 2.0' in told
    assert "_created" not in told


def test_a_broker_without_an_app_has_no_metrics() -> None:
    broker = CallboardBroker(MemoryMailbox(), middleware=[])
    assert broker.recorder is None
    assert not [each for each in broker.middleware if each.forks]


def test_metrics_are_no_hook_for_events() -> None:
    """Hooks of middleware fire for every delivery, which costs; these do not need them."""
    app = new_app(middleware=[Middleware()])
    assert app.broker.hooks.any is False


def test_recording_never_fails_a_settlement(app: Callboard, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    declare_nothing(app)
    monkeypatch.setattr("callboard.observability.recorder.record", fail)
    app.publish(OrderPlaced("A"))
    work_off(app)
    assert queue_of(app).succeeded == 2
    assert total(app, SETTLED) == 0


MEMORY = "MemoryDedupStore"


def test_a_dedup_store_is_timed_and_its_answers_counted(app: Callboard) -> None:
    store = MemoryDedupStore()

    @app.actor(name="handler", dedup=Dedup(store=store, key=lambda event: event.order_id), retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        if event.total and ctx.attempt == 1:
            raise ValueError

    app.publish(OrderPlaced("A"))
    work_off(app)
    app.publish(OrderPlaced("A"))
    app.publish(OrderPlaced("B", 1.0))
    work_off(app)
    assert series(app, CLAIMS, "store", "verdict") == {(MEMORY, "fresh"): 3, (MEMORY, "done"): 1}
    known = app.metrics.cells.total().histograms[STORE_SECONDS.name]
    told = {key: sum(tally.counts) for key, tally in known.items() if key[0] == MEMORY}
    assert told == {(MEMORY, "claim"): 4, (MEMORY, "commit"): 2, (MEMORY, "release"): 1}
    assert series(app, SETTLED, "outcome") == {"succeeded": 2, "retried": 1, "duplicate": 1}


def test_errors_of_stores_are_counted_by_class(memory_app: Callboard) -> None:
    app, store = memory_app, MemoryDedupStore()
    store.close()

    @app.actor(name="handler", dedup=Dedup(store=store, key=lambda event: event.order_id))
    def handler(event: OrderPlaced) -> None: ...

    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: total(app, STORE_ERRORS), "the first error")
    errors = series(app, STORE_ERRORS, "store", "operation", "error")
    assert {(MEMORY, "claim", "StoreUnavailable")} <= set(errors)
    assert {error for _, _, error in errors} == {"StoreUnavailable"}
    assert series(app, SETTLED, "outcome")["released"] >= 1


def test_what_is_rare_is_shown_before_it_happens() -> None:
    app = new_app()
    declare_nothing(app)
    book = app.metrics.cells.total()
    assert book.counters[FENCED.name] == {("default",): 0}
    assert book.counters[TIMEOUTS.name] == {("default", "one"): 0, ("default", "two"): 0}
    assert book.counters[ENDED.name]["default", "one", "order.placed", "dead", "max_attempts"] == 0
    assert book.counters[OVERFLOW.name]["event",] == 0
