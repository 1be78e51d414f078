"""Actors are declared on an app; what would fail later is told before the first delivery."""

from typing import Any

import dramatiq
import msgspec
import pytest

from callboard import Callboard, CallboardBroker, Context, Event, Retry
from callboard.actors.mailbox.mailbox import Posting, Target
from callboard.messages.codec import encode
from callboard.messages.errors import ConfigurationError, InvalidActor, InvalidEvent, UnknownContract
from callboard.middleware.guarded import Guarded
from callboard.middleware.retry import DEFAULT_RETRY
from tests.actors.rehearsal import OrderPlaced, OrderShipped, SendReceipt, new_app, work_off, working


class Mailer:
    """A resource that some tests do not provide."""


class Ledger:
    """Another."""


def guarded(app: Callboard, name: str) -> Guarded:
    found = app.broker.guarded(name)
    assert found is not None
    return found


def test_an_actor_is_a_dramatiq_actor_that_subscribes_to_its_contracts(memory_app: Callboard) -> None:
    @memory_app.actor(queue="orders", priority=3)
    def send_receipt(event: OrderPlaced | OrderShipped) -> None: ...

    assert isinstance(send_receipt, dramatiq.Actor)
    assert memory_app.broker.get_actor("send_receipt") is send_receipt
    assert (send_receipt.queue_name, send_receipt.priority) == ("orders", 3)
    assert memory_app.broker.get_declared_queues() == {"orders"}
    (subscription,) = memory_app.routes.declared
    assert subscription.contracts.keys() == {"order.placed", "order.shipped"}


def test_the_decorator_works_with_and_without_options(memory_app: Callboard) -> None:
    @memory_app.actor
    def first(event: OrderPlaced) -> None: ...

    @memory_app.actor(name="renamed")
    def second(event: OrderPlaced) -> None: ...

    assert list(memory_app.actors) == ["first", "renamed"]
    assert [each.order for each in memory_app.routes.declared] == [0, 1]


def test_an_async_handler_runs_on_the_loop_and_a_plain_one_on_a_thread(memory_app: Callboard) -> None:
    @memory_app.actor
    async def waits(event: OrderPlaced) -> None: ...

    @memory_app.actor
    def works(event: OrderPlaced) -> None: ...

    assert guarded(memory_app, "waits").is_async
    assert not guarded(memory_app, "works").is_async


def test_an_actor_that_is_called_runs_its_handler_as_a_plain_function(memory_app: Callboard) -> None:
    @memory_app.actor
    def doubled(event: OrderPlaced, factor: Ledger) -> tuple[str, Ledger]:
        return event.order_id * 2, factor

    ledger = Ledger()
    assert doubled(OrderPlaced("A"), ledger) == ("AA", ledger)


@pytest.mark.parametrize("args", [(OrderPlaced("A"),), (), ("A",)])
def test_an_event_actor_is_not_sent_to_but_published_to(memory_app: Callboard, args: tuple[Any, ...]) -> None:
    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    with pytest.raises(InvalidEvent, match=r"app\.publish\("):
        handler.send(*args)
    with pytest.raises(InvalidEvent, match=r"app\.publish\("):
        handler.send_with_options(args=args, delay=1000)


def test_two_actors_of_one_name_are_refused(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    with pytest.raises(InvalidActor, match=r"two actors are named .handler.: .* name="):
        memory_app.actor(handler.original)
    assert len(memory_app.routes.declared) == 1


EMPTY = pytest.param(
    "",
)


@pytest.mark.parametrize("name", [EMPTY, "1st", "a:b", "a b", "x" * 101, "ä"])
def test_a_name_that_could_not_be_a_key_is_refused(memory_app: Callboard, name: str) -> None:
    def handler(event: OrderPlaced) -> None: ...

    with pytest.raises(InvalidActor, match=r"actor .* a name begins with"):
        memory_app.actor(name=name)(handler)
    with pytest.raises(InvalidActor, match=r"queue .* a name begins with"):
        memory_app.actor(queue=name)(handler)
    with pytest.raises(InvalidActor, match=r"app .* a name begins with"):
        Callboard(name)
    assert not memory_app.actors


def test_an_actor_that_is_refused_leaves_no_trace(memory_app: Callboard) -> None:
    with pytest.raises(InvalidActor):

        @memory_app.actor
        def handler(event: OrderPlaced, *rest: int) -> None: ...

    assert not memory_app.actors
    assert not memory_app.routes.declared
    assert memory_app.catalog.names() == ()


def test_two_contracts_of_one_name_and_version_are_refused(memory_app: Callboard) -> None:
    class Impostor(Event, name="order.placed"):
        pass

    memory_app.contract(OrderPlaced)
    with pytest.raises(ConfigurationError, match=r"are both order\.placed version 1"):

        @memory_app.actor
        def handler(event: Impostor) -> None: ...


def test_an_actors_retry_goes_before_the_apps(memory_app: Callboard) -> None:
    never, often = Retry.never(), Retry.every("1s")
    app = new_app(retry=often)

    @app.actor
    def one(event: OrderPlaced) -> None: ...

    @app.actor(retry=never)
    def two(event: OrderPlaced) -> None: ...

    @memory_app.actor
    def three(event: OrderPlaced) -> None: ...

    assert guarded(app, "one").policy.retry is often
    assert guarded(app, "two").policy.retry is never
    assert guarded(memory_app, "three").policy.retry is DEFAULT_RETRY


def test_check_names_all_that_would_fail_later(memory_app: Callboard) -> None:
    @memory_app.actor
    def one(event: SendReceipt, mailer: Mailer) -> None: ...

    @memory_app.actor
    def two(event: SendReceipt, mailer: Mailer, ledger: Ledger) -> None: ...

    memory_app.provide(Ledger, Ledger)
    with pytest.raises(ConfigurationError) as caught:
        memory_app.check()
    assert caught.value.faults == (
        "one takes a Mailer, which nobody provides: call app.provide(Mailer, ...)",
        "two takes a Mailer, which nobody provides: call app.provide(Mailer, ...)",
        "one and two subscribe to the command receipt.send, which is for exactly one actor",
    )


def test_a_worker_of_a_faulty_app_does_not_start(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: OrderPlaced, mailer: Mailer) -> None: ...

    with pytest.raises(ConfigurationError, match=r"app\.provide\(Mailer"):
        dramatiq.Worker(memory_app.broker, worker_threads=1).start()
    memory_app.publish(OrderPlaced("A"))
    assert memory_app.mailbox.info().queues[0].ready == 1


def test_a_worker_registers_its_actors_when_it_starts(app: Callboard) -> None:
    @app.actor(queue="orders")
    def handler(event: OrderPlaced) -> None: ...

    assert app.mailbox.routes().subscriptions == ()
    with working(app):
        assert [each.actor for each in app.mailbox.routes().subscriptions] == ["handler"]


def test_an_older_body_reaches_its_actor_as_the_current_version(memory_app: Callboard) -> None:
    class OldOrder(Event, name="order.taken"):
        number: int

    class Order(Event, name="order.taken", version=2):
        number: str

    seen: list[Order] = []

    @memory_app.actor
    def handler(event: Order) -> None:
        seen.append(event)

    @memory_app.upcast(Order, from_version=1)
    def number_as_text(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"number": f"A-{fields['number']}"}

    old = encode(OldOrder(7), id="e-1", source="shop")
    target = Target("handler", "default", "e-1", 0)
    memory_app.mailbox.publish([Posting("order.taken", old.body, old.fingerprint, (target,))])
    work_off(memory_app)
    assert seen == [Order("A-7")]
    assert number_as_text({"number": 1}) == {"number": "A-1"}


def test_a_contract_without_an_actor_is_known_when_declared(memory_app: Callboard) -> None:
    with pytest.raises(UnknownContract):
        memory_app.catalog.current("order.placed")
    assert memory_app.contract(OrderPlaced) is OrderPlaced
    assert memory_app.catalog.current("order.placed").cls is OrderPlaced


def test_something_that_is_no_contract_cannot_be_declared_as_one(memory_app: Callboard) -> None:
    class Plain(msgspec.Struct):
        pass

    with pytest.raises(ConfigurationError, match="Plain is not an Event"):
        memory_app.contract(Plain)


def test_the_settings_of_an_app_are_checked_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Callboard("shop", url="http://example.org", workspace="No Such")
    assert len(caught.value.faults) == 2


def test_making_an_app_and_declaring_actors_opens_no_mailbox() -> None:
    app = Callboard("shop", url="redis://127.0.0.1:1/0")

    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None: ...

    app.check()
    app.close()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lease": 0}, "at least 300 ms"),
        ({"lease": "299 ms"}, "at least 300 ms"),
        ({"lease": -1}, "lease cannot be negative"),
        ({"lease": "x"}, "give lease in seconds"),
        ({"lease": None}, "give lease in seconds"),
        ({"in_flight": 0}, "1 or more"),
        ({"in_flight": -3}, "1 or more"),
        ({"in_flight": "9"}, "1 or more"),
        ({"in_flight": True}, "1 or more"),
        ({"in_flight": 2.0}, "1 or more"),
        ({"grace": -1}, "grace cannot be negative"),
        ({"grace": "soon"}, "give grace in seconds"),
        ({"longest_timeout": 0}, "longest_timeout must be more than 0"),
        ({"longest_timeout": "x"}, "give longest_timeout in seconds"),
        ({"timeout": 0}, "app: timeout must be more than 0"),
        ({"timeout": "2m"}, "longest_timeout allows more"),
        ({"retry": 3}, "retry must be made by Retry"),
        ({"discard": ["5h"]}, "discard must be a Discard"),
    ],
)
def test_an_option_that_cannot_work_is_refused_when_the_app_is_made(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        new_app(**given)
    (fault,) = caught.value.faults
    assert told in fault


def test_all_that_cannot_be_of_an_app_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Callboard("shop", url="foo://", workspace="A B", lease="x", in_flight=0, grace=-1, timeout=0)
    assert len(caught.value.faults) == 6


def test_the_limits_of_an_app_reach_its_broker() -> None:
    app = new_app(lease="300 ms", in_flight=1, grace=0, timeout="2m", longest_timeout="5m")
    assert (app.broker.lease_ms, app.broker.in_flight) == (300, 1)


def test_a_broker_that_is_made_without_an_app_checks_its_limits_too(memory_app: Callboard) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CallboardBroker(memory_app.mailbox, lease=0, in_flight=0, grace="x")
    assert len(caught.value.faults) == 3
