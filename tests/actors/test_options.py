"""What is said nearest to an actor has the say, and what an actor's contracts do not allow is refused."""

import time
from datetime import timedelta
from typing import Annotated, Any

import dramatiq
import pytest

from callboard import (
    Callboard,
    Context,
    Dedup,
    Discard,
    Event,
    HandlerTimeout,
    MemoryDedupStore,
    MemoryMailbox,
    Retry,
    Sensitive,
)
from callboard.messages.errors import ConfigurationError, InvalidActor, PublishError
from callboard.middleware.attempt import Policy
from callboard.middleware.dedup.store import Claim
from callboard.testing import Stage
from tests.actors.rehearsal import work_off


class OrderPlaced(Event, name="order.placed", key="order_id", dedup="order_id", window="7d"):
    """Its contract says the dedup key and the window."""

    order_id: str
    total: float = 0.0


class Ping(Event, name="ping"):
    """Names no entity and no key."""

    number: int = 0


def policy_of(app: Callboard, actor: str) -> Policy:
    guarded = app.broker.guarded(actor)
    assert guarded is not None
    return guarded.policy


def declared(app: Callboard, **said: Any) -> Policy:
    @app.actor(**said)
    def handler(event: OrderPlaced) -> None: ...

    return policy_of(app, "handler")


def new_app(**said: Any) -> Callboard:
    return Callboard("shop", mailbox=MemoryMailbox(), **said)


# Precedence.


def test_where_nothing_is_said_the_defaults_hold() -> None:
    policy = declared(new_app())
    assert (policy.retry, policy.timeout, policy.discard) == (Retry.exponential(), 5.0, ())


def test_the_nearest_level_has_the_say() -> None:
    app = new_app(timeout="10s", retry=Retry.every(1), discard=Discard(max_age="1d"))
    app.queue("mail", timeout="20s", retry=Retry.every(2))

    @app.actor
    def by_app(event: OrderPlaced) -> None: ...

    @app.actor(queue="mail")
    def by_queue(event: OrderPlaced) -> None: ...

    @app.actor(queue="mail", timeout="30s", discard=())
    def by_actor(event: OrderPlaced) -> None: ...

    said = {name: policy_of(app, name) for name in app.actors}
    assert {name: policy.timeout for name, policy in said.items()} == {
        "by_app": 10.0,
        "by_queue": 20.0,
        "by_actor": 30.0,
    }
    assert said["by_actor"].retry == said["by_queue"].retry == Retry.every(2)
    assert said["by_app"].discard == said["by_queue"].discard == (Discard(max_age="1d"),)
    assert said["by_actor"].discard == ()


def test_zero_is_said() -> None:
    app = new_app(discard=Discard(max_age="1d"))
    app.queue("now", discard=Discard(max_age=0))

    @app.actor(queue="now")
    def handler(event: OrderPlaced) -> None:
        raise AssertionError("started")

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.run()
        assert stage.outcomes() == ["discarded"]


def test_a_queue_is_spoken_for_before_its_actors() -> None:
    app = new_app()
    declared(app)
    with pytest.raises(InvalidActor, match="say what holds for it before them"):
        app.queue("default", timeout="1s")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"timout": "1s"}, "handler: there is no option 'timout': did you mean timeout"),
        ({"timeout": "2m"}, "at most 60 s, but is 120 s: longest_timeout allows more"),
        ({"timeout": 0}, "must be more than 0"),
        ({"retry": "6m"}, r"retry must be made by Retry, as Retry.every\('6m'\), but is '6m'"),
        ({"discard": "1d"}, "discard must be a Discard"),
        ({"dedup": "order_id"}, "dedup takes a Dedup"),
        ({"dedup": Dedup(key="number")}, "dedup names `number`, which is no field of order.placed"),
        ({"dedup": Dedup(key=lambda event: event.order_id)}, "a callable key needs a store"),
        ({"concurrency": 0}, "concurrency must be a whole number from 1, but is 0"),
        ({"concurrency": True}, "concurrency must be a whole number from 1, but is True"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_its_mend(said: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidActor, match=words):
        declared(new_app(), **said)


def test_dedup_cannot_go_by_what_is_sensitive() -> None:
    class Paid(Event, name="paid"):
        card: Annotated[str, Sensitive]

    app = new_app()
    with pytest.raises(InvalidActor, match="dedup: field `card` is sensitive and so cannot be part of a key"):

        @app.actor(dedup=Dedup(key="card"))
        def handler(event: Paid) -> None: ...


def test_what_the_app_says_is_checked_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError) as told:
        new_app(timeout="soon", retry=3, discard=4, dedup=5)
    assert [fault.partition(" ")[0] for fault in told.value.faults] == ["app:"] * 4


def test_a_contract_without_a_key_has_no_order() -> None:
    app = new_app()
    with pytest.raises(InvalidActor, match="ordered=True needs an entity, and ping names none"):

        @app.actor(ordered=True)
        def handler(event: Ping) -> None: ...


# Dedup in the mailbox.


def started(app: Callboard, *events: Event, keys: tuple[str | None, ...] = ()) -> int:
    """How often the handler starts for events that are published one after the other."""
    with Stage(app) as stage:
        for position, event in enumerate(events):
            app.publish(event, dedup_key=keys[position] if keys else None)
        stage.run()
        return len(stage.attempts)


def deduplicating(**said: Any) -> Callboard:
    app = new_app()

    @app.actor(**said)
    def handler(event: OrderPlaced | Ping) -> None: ...

    return app


def test_a_contract_says_the_key_where_the_actor_says_nothing() -> None:
    assert started(deduplicating(), OrderPlaced("A"), OrderPlaced("A"), OrderPlaced("B")) == 2


def test_an_actor_may_switch_dedup_off() -> None:
    assert started(deduplicating(dedup=None), OrderPlaced("A"), OrderPlaced("A")) == 2


def test_a_key_that_is_published_goes_before_what_the_actor_says() -> None:
    app = deduplicating(dedup=None)
    assert started(app, OrderPlaced("A"), OrderPlaced("A"), keys=("k", "k")) == 1


def test_an_actor_may_name_the_fields_of_its_key() -> None:
    app = new_app()

    @app.actor(dedup=Dedup(key=("order_id", "total")))
    def handler(event: OrderPlaced) -> None: ...

    events = [OrderPlaced("A", 1.0), OrderPlaced("A", 1.0), OrderPlaced("A", 2.0)]
    assert started(app, *events) == 2


def test_an_actors_key_is_made_by_publishers_that_only_know_the_contract() -> None:
    mailbox = MemoryMailbox()
    worker = Callboard("worker", mailbox=mailbox)

    @worker.actor(dedup=Dedup(key="number"))
    def handler(event: Ping) -> None: ...

    worker.broker.boot()
    publisher = Callboard("web", mailbox=mailbox)
    publisher.contract(Ping)
    receipts = [publisher.publish(Ping(number)) for number in (1, 1, 2)]
    assert [receipt.deliveries[0].duplicate for receipt in receipts] == [False, True, False]


def test_the_window_an_actor_says_goes_before_the_contracts() -> None:
    app = deduplicating(dedup=Dedup(window="1h"))
    with Stage(app) as stage:
        for wait in ("30m", "2h", "1m"):
            app.publish(OrderPlaced("A"))
            stage.run()
            stage.advance(wait)
        assert len(stage.attempts) == 2


# Dedup in a store.


def test_a_store_is_shared_by_apps_that_share_nothing_else() -> None:
    store = MemoryDedupStore()
    apps = [new_app(), new_app()]
    for app in apps:

        @app.actor(dedup=Dedup(key=lambda event: event.order_id, store=store))
        def handler(event: OrderPlaced) -> None: ...

    outcomes = []
    for app in apps:
        with Stage(app) as stage:
            app.publish(OrderPlaced("A"))
            stage.run()
            outcomes += [str(outcome) for outcome in stage.outcomes()]
    assert outcomes == ["succeeded", "duplicate"]


def test_an_actor_with_a_store_of_its_own_cannot_publish_with_its_success() -> None:
    app = new_app()
    app.contract(Ping)
    told: list[str] = []

    @app.actor(dedup=Dedup(store=MemoryDedupStore()))
    def handler(event: OrderPlaced, ctx: Context) -> None:
        with pytest.raises(PublishError, match=r"publish with app.publish\(\)") as refused:
            ctx.publish(Ping())
        told.append(str(refused.value))

    assert started(app, OrderPlaced("A")) == 1
    assert len(told) == 1


class SlowStore(MemoryDedupStore):
    """A store whose server takes its time."""

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        time.sleep(0.3)
        return super().claim(key, fingerprint, owner=owner, lease_ms=lease_ms, charged=charged)


def test_a_slow_store_does_not_hold_the_event_loop() -> None:
    app = new_app()
    ended: list[str] = []

    @app.actor(dedup=Dedup(store=SlowStore()))
    async def slow(event: OrderPlaced) -> None:
        ended.append("slow")

    @app.actor
    async def quick(event: Ping) -> None:
        ended.append("quick")

    app.publish(OrderPlaced("A"))
    app.publish(OrderPlaced("B"))
    app.publish(Ping())
    work_off(app)
    assert ended == ["quick", "slow", "slow"]


# Timeouts and contention, as handlers see them.


def test_a_handler_may_ask_what_is_left_and_for_more() -> None:
    app = new_app()
    left: list[timedelta] = []

    @app.actor(timeout="50ms")
    def handler(event: Ping, ctx: Context) -> None:
        ctx.set_timeout("30s")
        time.sleep(0.1)
        left.append(ctx.remaining())
        with pytest.raises(ValueError, match="at most 60 s"):
            ctx.set_timeout("61s")

    assert started(app, Ping()) == 1
    assert timedelta(seconds=20) < left[0] < timedelta(seconds=29.91)


def test_an_app_may_allow_longer_timeouts() -> None:
    assert declared(new_app(longest_timeout="10m"), timeout="5m").timeout == 300


def test_a_timeout_is_an_outcome_like_any_failure() -> None:
    app = new_app()

    @app.actor(timeout="20ms", retry=Retry.every("1m", max_attempts=2))
    def handler(event: Ping) -> None:
        while True:
            time.sleep(0.001)

    with Stage(app, expect=HandlerTimeout) as stage:
        app.publish(Ping())
        stage.advance("1m")
        assert stage.outcomes() == ["retried", "dead"]


def test_contention_waits_without_being_charged() -> None:
    app = new_app()
    calls: list[int] = []

    @app.actor(retry=Retry.never())
    def handler(event: Ping, ctx: Context) -> None:
        calls.append(ctx.attempt)
        if len(calls) < 3:
            raise dramatiq.RateLimitExceeded("busy")

    with Stage(app) as stage:
        app.publish(Ping())
        stage.run()
        assert stage.outcomes() == ["released"]
        stage.advance("2s")
        assert stage.outcomes() == ["released", "released", "succeeded"]
    assert calls == [1, 1, 1]
