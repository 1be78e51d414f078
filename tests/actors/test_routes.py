"""Routes are what an app declares, and what workers registered; a publisher loads them when they changed."""

from callboard import MemoryMailbox
from callboard.actors import routes as module
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.actors.routes import Routes
from tests.actors.rehearsal import FaultyMailbox, OrderPlaced, new_app

PLACED = {"order.placed": 1000}


def names(routes: Routes, contract: str = "order.placed") -> list[str]:
    return [each.actor for each in routes.of(contract)]


def test_declared_actors_are_found_by_contract_in_their_order() -> None:
    routes = Routes()
    for order, actor in enumerate(["zebra", "ant"]):
        routes.declare(Subscription(actor, "default", PLACED, order))
    routes.declare(Subscription("other", "default", {"order.shipped": 1000}, 2))
    assert names(routes) == ["zebra", "ant"]
    assert names(routes, "order.shipped") == ["other"]
    assert names(routes, "no.such") == []


def test_an_actor_declared_after_a_look_is_found_too() -> None:
    routes = Routes()
    assert names(routes) == []
    routes.declare(Subscription("late", "default", PLACED))
    assert names(routes) == ["late"]


def test_registered_actors_are_added_to_the_declared_ones() -> None:
    routes, mailbox = Routes(), MemoryMailbox()
    routes.declare(Subscription("here", "default", PLACED, 1))
    mailbox.register([Subscription("there", "default", PLACED, 0)])
    assert names(routes) == ["here"]
    routes.load(mailbox)
    assert names(routes) == ["there", "here"]


def test_what_the_app_declares_of_an_actor_goes_before_what_is_registered() -> None:
    routes, mailbox = Routes(), MemoryMailbox()
    routes.declare(Subscription("clerk", "new-queue", PLACED))
    mailbox.register([Subscription("clerk", "old-queue", PLACED)])
    routes.load(mailbox)
    assert [(each.actor, each.queue) for each in routes.of("order.placed")] == [("clerk", "new-queue")]


def test_what_workers_uphold_goes_before_what_the_app_declares() -> None:
    routes, mailbox = Routes(), MemoryMailbox()
    routes.declare(Subscription("clerk", "former-queue", PLACED))
    mailbox.register([Subscription("clerk", "newer-queue", PLACED)])
    mailbox.heartbeat("worker")
    routes.load(mailbox)
    assert [(each.actor, each.queue) for each in routes.of("order.placed")] == [("clerk", "newer-queue")]


def test_loading_replaces_what_was_loaded_before() -> None:
    routes = Routes()
    first, second = MemoryMailbox(), MemoryMailbox()
    first.register([Subscription("gone", "default", PLACED)])
    routes.load(first)
    assert names(routes) == ["gone"]
    routes.load(second)
    assert names(routes) == []


def test_routes_are_loaded_once_and_again_when_they_are_old() -> None:
    routes, mailbox = Routes(), FaultyMailbox(MemoryMailbox())
    for _ in range(5):
        routes.loaded(mailbox)
    assert mailbox.calls == ["routes"]
    old = Routes()
    old.loaded(mailbox)
    old._loaded_at -= module.REFRESH_SECONDS + 1
    old.loaded(mailbox)
    assert mailbox.calls == 3 * ["routes"]


def test_a_publisher_asks_for_routes_only_when_they_changed() -> None:
    mailbox = FaultyMailbox(MemoryMailbox())
    publisher, shop = new_app(mailbox), new_app(mailbox.mailbox)

    @shop.actor
    def handler(event: OrderPlaced) -> None: ...

    for _ in range(3):
        publisher.publish(OrderPlaced("A"))
    assert mailbox.calls.count("routes") == 1
    shop.mailbox.register(shop.routes.declared)
    receipts = [publisher.publish(OrderPlaced("A")) for _ in range(3)]
    assert [len(receipt.deliveries) for receipt in receipts] == [1, 1, 1]
    assert mailbox.calls.count("routes") == 2
