"""The stage plays batches: they gather on its clock, and each event has an outcome of its own."""

from collections.abc import Iterator, Sequence

import pytest

from callboard import (
    Batch,
    BatchContext,
    Callboard,
    Discard,
    Event,
    MemoryMailbox,
    RejectEvent,
    Retry,
    RetryLater,
)
from callboard.messages.delivery import OutcomeKind, Reason
from callboard.testing import Stage


class OrderPlaced(Event, name="order.placed", key="order_id"):
    """What is handled in batches."""

    order_id: str
    total: float = 1.0


class OrderCounted(Event, name="order.counted"):
    """What a batch handler publishes."""

    order_id: str


class Shop:
    """An app whose batch handler does what the test says."""

    def __init__(self) -> None:
        self.app = Callboard("shop", mailbox=MemoryMailbox())
        self.calls: list[list[str]] = []

    def saw(self, events: Sequence[OrderPlaced]) -> list[str]:
        self.calls.append([event.order_id for event in events])
        return self.calls[-1]

    def publish(self, *names: str) -> None:
        for name in names:
            self.app.publish(OrderPlaced(name))


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.app.close()


def ends(stage: Stage) -> dict[str, str]:
    """What the last attempt at each order came to."""
    attempts = [(each.event, str(each.outcome)) for each in stage.attempts]
    return {event.order_id: outcome for event, outcome in attempts if isinstance(event, OrderPlaced)}


def numbers(stage: Stage) -> dict[str, list[int]]:
    """The numbers of the attempts at each order."""
    told: dict[str, list[int]] = {}
    for each in stage.attempts:
        assert isinstance(each.event, OrderPlaced)
        told.setdefault(each.event.order_id, []).append(each.number)
    return told


def test_a_batch_waits_for_others_and_is_given_them_at_once(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(size=100, wait="1s"))
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)

    with Stage(shop.app) as stage:
        shop.publish("a", "b")
        assert stage.run() == []
        stage.advance("600ms")
        shop.publish("c")
        stage.advance("399ms")
        assert shop.calls == []
        stage.advance("1ms")
        assert shop.calls == [["a", "b", "c"]]
        assert stage.outcomes(load) == ["succeeded"] * 3


def test_a_full_batch_does_not_wait(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(size=2, wait="1m"))
    async def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)

    with Stage(shop.app) as stage:
        shop.publish("a", "b", "c", "d", "e")
        stage.run()
        assert shop.calls == [["a", "b"], ["c", "d"]]
        stage.advance("1m")
        assert shop.calls[2:] == [["e"]]


def test_what_is_gathered_is_held_for_longer_than_a_lease() -> None:
    shop = Shop()
    app = shop.app = Callboard("shop", mailbox=MemoryMailbox(), lease="300ms")

    @app.actor(batch=Batch(wait="10s"))
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)

    with Stage(app) as stage:
        shop.publish("a")
        stage.advance("8s")
        shop.publish("b")
        stage.advance("2s")
        assert shop.calls == [["a", "b"]]
        assert stage.counts["takeovers"] == 0


def test_what_is_said_of_an_event_is_its_outcome_and_no_others(shop: Shop) -> None:
    @shop.app.actor(retry=Retry.every("5s", max_attempts=2))
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        shop.saw(events)
        for event in events:
            match event.order_id:
                case "failed":
                    ctx.fail(event, ConnectionError("no"))
                case "later" if ctx.of(event).attempt == 1:
                    ctx.retry(event, after="1 minute")
                case "bad":
                    ctx.reject(event, "a bad order")
                case "old":
                    ctx.discard(event, "an old order")

    with Stage(shop.app, expect=ConnectionError) as stage:
        shop.publish("failed", "good", "later", "bad", "old")
        stage.advance("1s")
        assert ends(stage) == {
            "failed": "retried",
            "good": "succeeded",
            "later": "retried",
            "bad": "dead",
            "old": "discarded",
        }
        stage.advance("2m")
        assert ends(stage)["later"] == "succeeded"
        assert [(each.event, each.reason, each.detail) for each in stage.dead] == [
            (OrderPlaced("bad"), Reason.REJECTED, "a bad order"),
            (OrderPlaced("failed"), Reason.MAX_ATTEMPTS, None),
        ]
        assert [each.detail for each in stage.discarded] == ["an old order"]


def test_equal_events_of_different_deliveries_are_told_apart(shop: Shop) -> None:
    @shop.app.actor(retry=Retry.never())
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        assert events[0] == events[1]
        assert ctx.of(events[0]).id != ctx.of(events[1]).id
        ctx.fail(events[1], ValueError("the second"))

    with Stage(shop.app, expect=ValueError) as stage:
        shop.publish("same", "same")
        stage.advance("1s")
        assert stage.outcomes() == ["succeeded", "dead"]


def test_an_event_that_is_not_of_the_batch_is_refused(shop: Shop) -> None:
    @shop.app.actor(retry=Retry.never())
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        ctx.fail(OrderPlaced("a"), ValueError("no"))

    with Stage(shop.app, expect=ValueError) as stage:
        shop.publish("a")
        stage.advance("1s")
        assert "pass the very object from the list" in str(stage.attempts[0].error)


def test_what_is_no_exception_is_no_failure(shop: Shop) -> None:
    @shop.app.actor(retry=Retry.never())
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        ctx.fail(events[0], "no")  # type: ignore[arg-type]  # what is tried here

    with Stage(shop.app, expect=TypeError) as stage:
        shop.publish("a")
        stage.advance("1s")
        assert "fails with an exception" in str(stage.attempts[0].error)


def test_a_batch_that_raises_is_halved_and_only_the_culprit_is_charged(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(size=8), retry=Retry.every("5s", max_attempts=3))
    def load(events: list[OrderPlaced]) -> None:
        if "3" in shop.saw(events):
            raise ValueError("3 is bad")

    with Stage(shop.app, expect=ValueError) as stage:
        shop.publish(*"01234567")
        stage.run()
        assert ends(stage) == {name: "retried" if name == "3" else "succeeded" for name in "01234567"}
        assert len(shop.calls) == 7
        stage.advance("1m")
        assert numbers(stage) == {name: [1, 2, 3] if name == "3" else [1] for name in "01234567"}
        assert [(each.event, each.attempts) for each in stage.dead] == [(OrderPlaced("3"), 3)]


def test_when_everything_fails_the_rest_waits_longer_each_time_and_is_not_charged(shop: Shop) -> None:
    is_down = True

    @shop.app.actor(batch=Batch(size=50), retry=Retry.exponential(first="1s", cap="1h", max_attempts=4))
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)
        if is_down:
            raise ConnectionError("the database is down")

    names = [f"{number:02}" for number in range(50)]
    with Stage(shop.app, expect=ConnectionError) as stage:
        shop.publish(*names)
        stage.run()
        assert len(shop.calls) <= 12
        first = [each.number for each in stage.scheduled]
        assert sorted(first) == [1] * 47 + [2] * 3
        shop.calls.clear()
        stage.advance("3h")
        # With a second between them, there would be 10,000 rounds of a dozen calls.
        assert len(shop.calls) < 1000
        is_down = False
        stage.advance("2h")
        done = [each.event for each in stage.attempts if each.outcome is OutcomeKind.SUCCEEDED]
        assert len(done) + len(stage.dead) == 50
        assert len(done) > 0


def test_what_is_spared_is_given_up_by_its_age(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(size=50), retry=Retry.every("10s", give_up_after="1m"))
    def load(events: list[OrderPlaced]) -> None:
        raise ConnectionError("the database is down")

    with Stage(shop.app, expect=ConnectionError) as stage:
        shop.publish(*map(str, range(50)))
        stage.advance("5m")
        assert [each.reason for each in stage.dead] == [Reason.MAX_AGE] * 50


def test_what_was_said_of_an_event_holds_when_the_handler_then_raises(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(size=4), retry=Retry.never())
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        shop.saw(events)
        for event in events:
            if event.order_id == "bad":
                ctx.reject(event, "bad")
                raise ValueError("the transaction is void")

    with Stage(shop.app, expect=ValueError) as stage:
        shop.publish("a", "bad", "b", "c")
        stage.run()
        assert ends(stage) == {"a": "succeeded", "bad": "dead", "b": "succeeded", "c": "succeeded"}
        assert shop.calls == [["a", "bad", "b", "c"], ["a", "b"], ["c"]]
        assert stage.dead[0].reason is Reason.REJECTED


@pytest.mark.parametrize(("signal", "outcome"), [(RetryLater("1h"), "retried"), (RejectEvent("no"), "dead")])
def test_a_signal_is_for_all_events_and_halves_nothing(shop: Shop, signal: Exception, outcome: str) -> None:
    @shop.app.actor(batch=Batch(size=4))
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)
        raise signal

    with Stage(shop.app) as stage:
        shop.publish(*"abcd")
        stage.run()
        assert stage.outcomes() == [outcome] * 4
        assert len(shop.calls) == 1


def test_what_its_layers_do_not_let_through_is_not_in_the_batch_and_hides_nobody(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(size=3, wait="1s"), discard=Discard(when=lambda event: event.total == 0))
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)

    with Stage(shop.app) as stage:
        shop.publish("a")
        shop.app.publish(OrderPlaced("free", 0.0))
        shop.publish("b")
        stage.run()
        assert shop.calls == [["a", "b"]]
        assert ends(stage) == {"a": "succeeded", "free": "discarded", "b": "succeeded"}


def test_the_age_is_looked_at_when_the_batch_is_run(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(wait="30s"), discard=Discard(max_age="20s"))
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)

    with Stage(shop.app) as stage:
        shop.publish("old")
        stage.advance("15s")
        shop.publish("young")
        stage.advance("15s")
        assert shop.calls == [["young"]]
        assert ends(stage) == {"old": "discarded", "young": "succeeded"}


def test_what_is_published_because_of_an_event_goes_out_with_its_success(shop: Shop) -> None:
    shop.app.contract(OrderCounted)

    @shop.app.actor(batch=Batch(size=4), retry=Retry.never())
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        for event in events:
            ctx.publish(OrderCounted(event.order_id), because=event)
            if event.order_id == "bad":
                raise ValueError("bad")
            if event.order_id == "failed":
                ctx.fail(event, ValueError("failed"))

    with Stage(shop.app, expect=ValueError) as stage:
        shop.publish("a", "failed", "bad", "b")
        stage.run()
        counted = [each.order_id for each in stage.published if isinstance(each, OrderCounted)]
        assert sorted(counted) == ["a", "b"]


def test_of_each_event_it_is_known_what_a_handler_of_one_would_know(shop: Shop) -> None:
    told: list[tuple[str, int, str | None, float]] = []

    @shop.app.actor
    def load(events: list[OrderPlaced], ctx: BatchContext) -> None:
        assert ctx.events == events
        assert ctx.actor == "load"
        assert not hasattr(ctx, "items")
        for event in events:
            one = ctx.of(event)
            assert one is ctx.of(event)
            told.append((one.name, one.attempt, one.attributes.get("who"), one.age().total_seconds()))

    with Stage(shop.app) as stage:
        shop.app.publish(OrderPlaced("a"), attributes={"who": "ann"})
        stage.advance("50ms")
        shop.publish("b")
        stage.advance("1s")
        assert told == [("order.placed", 1, "ann", 0.1), ("order.placed", 1, None, 0.05)]


def test_those_of_one_entity_are_in_batches_one_after_the_other() -> None:
    shop = Shop()

    @shop.app.actor(batch=Batch(size=10, wait="1s"), ordered=True)
    def load(events: list[OrderPlaced]) -> None:
        shop.calls.append([f"{event.order_id}{event.total:g}" for event in events])

    with Stage(shop.app) as stage:
        for total in (1.0, 2.0):
            for name in "ab":
                shop.app.publish(OrderPlaced(name, total))
        stage.advance("3s")
        assert [sorted(call) for call in shop.calls] == [["a1", "b1"], ["a2", "b2"]]
        assert stage.outcomes() == ["succeeded"] * 4


def test_a_limit_is_the_size_of_a_batch_where_that_is_larger() -> None:
    shop = Shop()

    @shop.app.actor(batch=Batch(size=10, wait="1m"), concurrency=3)
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)

    with Stage(shop.app) as stage:
        shop.publish(*"abcdef")
        stage.run()
        assert shop.calls == [["a", "b", "c"], ["d", "e", "f"]]


def test_resources_come_after_the_context_in_async_handlers_too(shop: Shop) -> None:
    class Rows:
        def __init__(self) -> None:
            self.rows: list[str] = []

    @shop.app.actor
    async def load(events: list[OrderPlaced], ctx: BatchContext, rows: Rows) -> None:
        rows.rows += [event.order_id for event in events]

    with Stage(shop.app) as stage:
        rows = Rows()
        stage.provide(Rows, rows)
        shop.publish("a", "b")
        stage.advance("1s")
        assert rows.rows == ["a", "b"]


def test_a_batch_whose_worker_is_lost_is_run_again(shop: Shop) -> None:
    @shop.app.actor(batch=Batch(size=2))
    def load(events: list[OrderPlaced]) -> None:
        shop.saw(events)

    with Stage(shop.app) as stage:
        stage.crash(load, times=2)
        shop.publish("a", "b")
        stage.advance("2m")
        assert sorted(name for call in shop.calls for name in call) == ["a", "b"]
        assert stage.counts["succeeded"] == 2
