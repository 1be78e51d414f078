"""Whom a posting is for: all who subscribe, and of a command the one it was accepted for."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context
from callboard.actors.mailbox.subscriptions import RouteBook, Subscription
from callboard.actors.routes import RouteTable
from callboard.actors.routing import rerouted
from tests.actors.rehearsal import OrderPlaced, OrderShipped, SendReceipt, new_app, queue_of, until, working

COMMAND = {"receipt.send": 1000}


def table(*subscriptions: Subscription, version: int = 2) -> RouteTable:
    return RouteTable(RouteBook(version, subscriptions), {})


def accepted_for(*subscriptions: Subscription, event: Any) -> Any:
    """What an app with these routes would send."""
    app = new_app()
    for subscription in subscriptions:
        app.routes.declare(subscription)
    return app.publisher.routed(app.publisher.prepare(event))


def targets(posting: Any) -> list[tuple[str, str]]:
    return [(target.actor, target.queue) for target in posting.targets]


CLERK = Subscription("clerk", "desk", COMMAND)
RIVAL = Subscription("rival", "other", COMMAND)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param([CLERK], ("clerk", "desk"), id="nothing changed"),
        pytest.param([RIVAL], ("rival", "other"), id="another in its place"),
        pytest.param([Subscription("clerk", "new", COMMAND)], ("clerk", "new"), id="moved"),
        pytest.param([CLERK, RIVAL], ("clerk", "desk"), id="two"),
        pytest.param([Subscription("clerk", "new", COMMAND), RIVAL], ("clerk", "new"), id="two, one moved"),
        pytest.param([], ("clerk", "desk"), id="none"),
        pytest.param(
            [RIVAL, Subscription("third", "other", COMMAND)],
            ("clerk", "desk"),
            id="two others, and it is gone",
        ),
    ],
)
def test_a_command_has_one_actor_whatever_becomes_of_the_routes(
    now: list[Subscription], expected: tuple[str, str]
) -> None:
    posting = accepted_for(CLERK, event=SendReceipt("A"))
    with capture_logs() as logs:
        again = rerouted(posting, table(*now))
    assert targets(again) == [expected]
    assert (again.routes_version, again.fresh) == (2, False)
    assert [line["log_level"] for line in logs] == ([] if len(now) == 1 else ["error"])


def test_an_event_goes_to_all_who_subscribe_now_and_to_nobody_else() -> None:
    placed = {"order.placed": 1000}
    posting = accepted_for(Subscription("ant", "default", placed), event=OrderPlaced("A"))
    others = [Subscription("bee", "default", placed), Subscription("cow", "default", placed)]
    assert targets(rerouted(posting, table(*others))) == [("bee", "default"), ("cow", "default")]
    assert targets(rerouted(posting, table())) == []


def test_a_handlers_command_goes_to_one_actor_when_another_is_registered_before_it_is_settled(
    app: Callboard,
) -> None:
    one, two = new_app(app.mailbox), new_app(app.mailbox)

    @one.actor(queue="one")
    def taker(event: SendReceipt) -> None: ...

    @two.actor(queue="two")
    def rival(event: SendReceipt) -> None: ...

    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(SendReceipt(event.order_id))
        app.mailbox.register(two.routes.declared)

    app.mailbox.register(one.routes.declared)
    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: queue_of(app).succeeded, "the handler")
    assert (queue_of(app, "one").accepted, queue_of(app, "two").accepted) == (1, 0)


def test_routes_that_are_loaded_meanwhile_do_not_make_old_targets_look_new(
    app: Callboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = new_app(app.mailbox), new_app(app.mailbox)

    @first.actor
    def ant(event: OrderShipped) -> None: ...

    @second.actor
    def bee(event: OrderShipped) -> None: ...

    find = RouteTable.of

    def of_and_load(self: RouteTable, contract: str) -> tuple[Subscription, ...]:
        found = find(self, contract)
        app.mailbox.register(second.routes.declared)
        app.routes.load(app.mailbox)
        return found

    app.mailbox.register(first.routes.declared)
    app.routes.load(app.mailbox)
    before = app.routes.table.version
    monkeypatch.setattr(RouteTable, "of", of_and_load)
    posting = app.publisher.routed(app.publisher.prepare(OrderShipped("A")))
    assert targets(posting) == [("ant", "default")]
    assert posting.routes_version == before < app.routes.table.version
