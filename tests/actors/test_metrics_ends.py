"""Every way in which a delivery can end is counted as its record says (I17), and by whom it was ended."""

from collections import Counter

import pytest

from callboard import (
    Batch,
    BatchContext,
    Callboard,
    Context,
    Dedup,
    Discard,
    DiscardEvent,
    Event,
    MemoryDedupStore,
    RejectEvent,
    RejectItem,
    Retry,
)
from callboard.actors.dead_letters import DeadLetters
from callboard.messages.delivery import OutcomeKind, Reason
from callboard.observability.collector import values_of
from callboard.observability.metrics import ENDED, OVERFLOW, QUEUE_DELIVERIES, QUEUE_DISCARDED, QUEUE_REPLAYED
from tests.actors.rehearsal import AT_ONCE, OrderPlaced, body_of, post, queue_of, until, work_off
from tests.actors.test_metrics import hostile_event, series

Ends = Counter[tuple[str, str, str]]
"""How many deliveries ended, by queue, kind and reason."""

BY_HAND = {"cancelled", "operator"}
"""The reasons of what no worker ended."""


class Case(Event, name="case", key="name"):
    """Says what its handler shall do."""

    name: str
    how: str = ""


ONE_BY_ONE: dict[str, type[Exception]] = {"reject": RejectEvent, "discard": DiscardEvent, "fail": ValueError}


def declare(app: Callboard) -> None:
    """Actors that end deliveries in every way there is, each in a queue of its own."""
    declare_singles(app)
    declare_gatherers(app)


def declare_singles(app: Callboard) -> None:
    """Those that take one event at a time."""

    @app.actor(
        name="single", queue="singles", retry=AT_ONCE, discard=Discard(when=lambda e: e.how == "unwanted")
    )
    def single(event: Case) -> None:
        if event.how in ONE_BY_ONE:
            raise ONE_BY_ONE[event.how]("no")

    @app.actor(name="few", queue="few", discard=Discard(max_attempts=2), retry=AT_ONCE)
    def few(event: Case) -> None:
        raise ValueError("no")

    @app.actor(name="stale", queue="stale", discard=Discard(max_age=0))
    def stale(event: Case) -> None: ...

    @app.actor(name="buried", queue="buried", discard=Discard(max_age=0, then="dead_letter"))
    def buried(event: Case) -> None: ...

    dedup = Dedup(store=MemoryDedupStore(), key=lambda event: "same")

    @app.actor(name="once", queue="once", dedup=dedup, retry=AT_ONCE)
    def once(event: Case) -> None: ...


def declare_gatherers(app: Callboard) -> None:
    """One that takes batches, and one whose events have items."""

    @app.actor(name="batch", queue="batches", batch=Batch(size=10, wait="20ms"), retry=AT_ONCE)
    def batch(events: list[Case], ctx: BatchContext) -> None:
        for event in events:
            if event.how in ONE_BY_ONE:
                say(ctx, event)

    @app.actor(name="parts", queue="parts", retry=Retry.never())
    def parts(event: Case, ctx: Context) -> None:
        for item in ctx.items(["a", "b"]):
            with item:
                if event.how == "fail":
                    raise ValueError(item.value)
                if event.how == "reject" and item.value == "a":
                    raise RejectItem("no")


def say(ctx: BatchContext, event: Case) -> None:
    """Tell what becomes of one event of a batch."""
    match event.how:
        case "reject":
            ctx.reject(event)
        case "discard":
            ctx.discard(event)
        case _:
            ctx.fail(event, ValueError("no"))


HOWS = ("", "reject", "discard", "fail", "unwanted")

WORKERS_END: Ends = Counter(
    {
        **{
            ("singles", *end): 1
            for end in (("succeeded", ""), ("dead", "rejected"), ("discarded", "rejected"))
        },
        ("singles", "dead", "max_attempts"): 1,
        ("singles", "discarded", "body"): 1,
        ("few", "discarded", "max_attempts"): 5,
        ("stale", "discarded", "max_age"): 5,
        ("buried", "dead", "max_age"): 5,
        ("once", "succeeded", ""): 1,
        ("once", "dead", "payload_conflict"): 4,
        **{("batches", *end): 1 for end in (("dead", "rejected"), ("discarded", "rejected"))},
        ("batches", "dead", "max_attempts"): 1,
        ("batches", "succeeded", ""): 2,
        ("parts", "succeeded", ""): 3,
        ("parts", "dead", "rejected"): 1,
        ("parts", "dead", "max_attempts"): 1,
    }
)
"""What becomes of an event of each kind with every actor."""


def counted(app: Callboard) -> Ends:
    """What the metrics of this process say."""
    return Ends(series(app, ENDED, "queue", "result", "reason"))


def kept(app: Callboard) -> Ends:
    """What the records of the mailbox say, and of successes and duplicates, which have none, its counts."""
    found: Ends = Counter()
    for info in app.mailbox.info().queues:
        found[info.queue, "succeeded", ""] += info.succeeded
        found[info.queue, "duplicate", ""] += info.duplicate
        for each in app.mailbox.ended(info.queue, 1000):
            if each.kind is not OutcomeKind.SUCCEEDED:
                assert each.reason is not None
                found[info.queue, each.kind.value, each.reason.value] += 1
    return +found


def assert_they_agree(app: Callboard) -> None:
    """Metrics, records and the mailbox's counts tell the same of every queue."""
    assert counted(app) == kept(app)
    for info in app.mailbox.info().queues:
        told = {
            kind: sum(n for key, n in counted(app).items() if key[:2] == (info.queue, kind)) for kind in KINDS
        }
        assert told == {kind: getattr(info, kind) for kind in KINDS}, info.queue


KINDS = ("succeeded", "duplicate", "dead", "discarded")


def test_whatever_a_worker_ends_is_counted_as_its_record_says(app: Callboard) -> None:
    declare(app)
    app.publish_many([Case(how or "fine", how) for how in HOWS])
    work_off(app)
    assert counted(app) == WORKERS_END
    assert_they_agree(app)
    assert series(app, OVERFLOW, "label") == {}


def test_one_that_was_done_before_is_counted_as_a_duplicate(app: Callboard) -> None:
    declare(app)
    for _ in range(2):
        app.publish(Case("fine"))
        work_off(app)
    assert counted(app)["once", "duplicate", ""] == counted(app)["once", "succeeded", ""] == 1
    assert_they_agree(app)


def taken_by_the_lost(app: Callboard, *, alone: bool) -> bool:
    """Whether a worker that is never heard of again could take something."""
    return bool(app.mailbox.fetch("default", 1, owner="lost", lease_ms=1, alone=alone).deliveries)


@pytest.mark.usefixtures("impatient")
def test_what_no_handler_could_take_is_counted_as_its_record_says(app: Callboard) -> None:
    @app.actor(name="handler")
    def handler(event: Case) -> None: ...

    app.publish(Case("poison"))
    for crash in range(4):  # the first of them makes it a suspect
        until(lambda: taken_by_the_lost(app, alone=crash > 0), "it to be taken once more")  # noqa: B023 - at once
    body = body_of(Case("fine"))
    for broken in (body[:-9], b"", body_of(hostile_event(1))):
        post(app, broken)
    post(app, body, actor="nobody")
    work_off(app)
    assert Counter(series(app, ENDED, "result", "reason")) == {
        ("dead", "poison"): 1,
        ("dead", "invalid_body"): 2,
        ("dead", "unknown_contract"): 1,
        ("dead", "unknown_actor"): 1,
    }
    assert_they_agree(app)


def test_the_words_of_reasons_are_all_seen_here() -> None:
    of_workers = {reason for _, _, reason in WORKERS_END} - {""}
    of_strangers = {"poison", "invalid_body", "unknown_contract", "unknown_actor"}
    assert of_workers | of_strangers | BY_HAND == {each.value for each in Reason}


def test_what_is_ended_by_hand_is_counted_by_the_mailbox_and_shown_beside(app: Callboard) -> None:
    @app.actor(name="handler", queue="q", retry=Retry.never())
    def handler(event: Case) -> None:
        if event.how:
            raise ValueError("no")

    app.publish_many([Case(str(number), "fail") for number in range(5)] + [Case("fine")])
    work_off(app)
    letters = DeadLetters(app.mailbox)
    assert letters.discard(limit=2).done == 2
    assert letters.replay(limit=1).done == 1
    cancelled = app.publish(Case("cancelled"), after="1 hour")
    app.mailbox.schedule.cancel(cancelled.id)
    app.publish_many([Case(str(number)) for number in range(10, 14)])
    assert app.mailbox.purge("q") == 5  # with the one that was replayed
    assert counted(app) == {("q", "succeeded", ""): 1, ("q", "dead", "max_attempts"): 5}
    by_hand = {("q", "discarded", "operator"): 2, ("q", "discarded", "cancelled"): 1}
    # A letter that was discarded or replayed is dead no more, and what was purged leaves no record.
    assert kept(app) == counted(app) - Counter({("q", "dead", "max_attempts"): 2 + 1}) + Counter(by_hand)
    shown = values_of(app.mailbox.gauges.read())
    assert shown[QUEUE_DISCARDED.name] == {("q",): 2 + 1 + 5}
    assert shown[QUEUE_REPLAYED.name] == {("q",): 1}
    assert shown[QUEUE_DELIVERIES.name]["q", "dead"] == 5 - 2 - 1
    # One was cancelled and five were purged; a letter that was discarded had ended before.
    info = queue_of(app, "q")
    assert counted(app).total() + 1 + 5 == info.accepted + info.replayed


def test_what_a_handler_published_in_conflict_is_dead_in_the_mailbox_and_shown_there(app: Callboard) -> None:
    @app.actor(name="handler", queue="q")
    def handler(event: Case) -> None: ...

    @app.actor(name="publish", queue="publishers")
    def publish(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(Case("another"), dedup_key="known")

    app.publish(Case("first"), dedup_key="known")
    app.publish(OrderPlaced("A"))
    work_off(app)
    assert counted(app) == {("q", "succeeded", ""): 1, ("publishers", "succeeded", ""): 1}
    assert kept(app) == counted(app) + Counter({("q", "dead", "payload_conflict"): 1})
    assert values_of(app.mailbox.gauges.read())[QUEUE_DELIVERIES.name]["q", "dead"] == 1
