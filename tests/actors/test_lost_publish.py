"""A publish whose reply was lost is sent again as what it is, even if the routes have changed meanwhile."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost

from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import Outcome, OutcomeKind, Reason
from callboard.messages.errors import MailboxUnavailable, StaleRoutes
from tests.actors.rehearsal import OrderPlaced, SendReceipt, new_app, queue_of

A = OrderPlaced("A")

_workspaces = count(1)


class Stage:
    """A publisher, a worker, and another app whose actor is registered while a reply is lost."""

    def __init__(self, url: str, workspace: str) -> None:
        self.mailbox = RedisMailbox(url, workspace)
        self.publisher, self.shop = new_app(self.mailbox), new_app(RedisMailbox(url, workspace))

        @self.shop.actor
        def clerk(event: OrderPlaced | SendReceipt) -> None: ...

        self.shop.mailbox.register(self.shop.routes.declared)
        self.newcomer = new_app(self.shop.mailbox)

        @self.newcomer.actor(queue="later")
        def newcomer(event: OrderPlaced | SendReceipt) -> None: ...

    def lose_a_reply(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Let the next publish be stored and its reply get lost, and the routes change meanwhile."""
        self.publisher.routes.load(self.mailbox)
        connections = self.mailbox._connections
        whole: Callable[..., Any] = connections.call

        def cut(*command: Any) -> Any:
            whole(*command)
            connections.call = whole  # type: ignore[method-assign]  # only one reply is lost
            self.newcomer.mailbox.register(self.newcomer.routes.declared)
            meanwhile()
            raise Lost("cut")

        connections.call = cut  # type: ignore[method-assign]  # a cable that is cut

    def close(self) -> None:
        """Let go of everything."""
        self.mailbox.close()
        self.shop.close()


@pytest.fixture
def stage(server_url: str) -> Iterator[Stage]:
    """On a workspace of its own."""
    with closing(Stage(server_url, f"lost-{os.getpid()}-{next(_workspaces)}")) as made:
        yield made


def actors_of(receipt: Any) -> list[str]:
    return [delivery.actor for delivery in receipt.deliveries]


@pytest.mark.parametrize("dedup_key", [None, "a-key"])
def test_an_event_reaches_each_actor_once_and_those_that_came_meanwhile_too(
    stage: Stage, dedup_key: str | None
) -> None:
    stage.lose_a_reply()
    assert actors_of(stage.publisher.publish(A, dedup_key=dedup_key)) == ["clerk", "newcomer"]
    assert (queue_of(stage.shop).accepted, queue_of(stage.shop, "later").accepted) == (1, 1)


def test_an_event_that_has_died_meanwhile_is_not_delivered_again(stage: Stage) -> None:
    def bury() -> None:
        mailbox = stage.shop.mailbox
        (delivery,) = mailbox.fetch("default", 1, owner="w", lease_ms=60_000).deliveries
        mailbox.settle([Settlement(delivery, Outcome(OutcomeKind.DEAD, Reason.REJECTED))])

    stage.lose_a_reply(bury)
    stage.publisher.publish(A)
    assert (queue_of(stage.shop).accepted, queue_of(stage.shop).dead) == (1, 1)


def test_many_events_reach_each_actor_once(stage: Stage) -> None:
    stage.lose_a_reply()
    receipts = stage.publisher.publish_many(OrderPlaced(str(number)) for number in range(3))
    assert [actors_of(receipt) for receipt in receipts] == 3 * [["clerk", "newcomer"]]
    assert queue_of(stage.shop).accepted == 3


def test_a_command_that_may_be_stored_is_not_called_refused_when_it_has_two_actors_now(stage: Stage) -> None:
    stage.lose_a_reply()
    with pytest.raises(MailboxUnavailable, match=r"clerk, newcomer .* an earlier try"):
        stage.publisher.publish(SendReceipt("A"))
    assert (queue_of(stage.shop).accepted, queue_of(stage.shop, "later").accepted) == (1, 0)


def test_routes_that_changed_before_the_first_try_are_no_lost_reply(stage: Stage) -> None:
    old = stage.mailbox.routes().version
    stage.newcomer.mailbox.register(stage.newcomer.routes.declared)
    with pytest.raises(StaleRoutes) as caught:
        stage.mailbox.publish([], routes_version=old)
    assert not caught.value.sent_before
