"""What an actor says while it is deployed: the newest holds while a worker upholds it, in every mailbox."""

import pytest

from callboard.actors.mailbox.memory import routes
from callboard.actors.mailbox.redis import wire
from callboard.actors.mailbox.subscriptions import MOST_SAID, Subscription
from tests.actors.mailbox.conformance import BRIEF, Stage, VirtualStage, ids, posting, settlement, target

WINDOWS = {"order.placed": 1000}
OLD = Subscription("receipt", "orders", WINDOWS)
NEW = Subscription("receipt", "orders", WINDOWS, concurrency=1)
PARTS = [
    NEW,
    Subscription("receipt", "orders", WINDOWS, ordered=True),
    Subscription("receipt", "orders", WINDOWS, key=("order_id",)),
    Subscription("receipt", "orders", {"order.placed": 2000}),
    Subscription("receipt", "orders", {**WINDOWS, "order.paid": 1000}),
    Subscription("receipt", "faster", WINDOWS),
]


@pytest.fixture
def deployed(stage: Stage) -> Stage:
    """Where a worker is at work."""
    stage.mailbox.heartbeat("worker-1")
    return stage


def said(stage: Stage) -> Subscription:
    """What holds of the actor."""
    (known,) = stage.mailbox.routes().subscriptions
    return known


@pytest.mark.parametrize("new", PARTS)
def test_an_old_worker_that_confirms_does_not_undo_what_a_new_one_says(
    deployed: Stage, new: Subscription
) -> None:
    deployed.mailbox.register([OLD])
    deployed.mailbox.register([new])
    version = deployed.mailbox.routes().version
    for _ in range(2):
        deployed.mailbox.register([OLD])
    assert said(deployed) == new
    assert deployed.mailbox.routes().version == version


def test_the_limit_of_a_new_worker_holds_while_old_ones_confirm(deployed: Stage) -> None:
    deployed.mailbox.register([OLD])
    deployed.mailbox.register([NEW])
    deployed.publish_keys("1", "2", "3")
    (first,) = deployed.fetch().deliveries
    deployed.mailbox.register([OLD])
    assert deployed.fetch().deliveries == []
    deployed.settle(settlement(first))
    assert ids(deployed.fetch().deliveries) == ["receipt:2"]


def test_an_old_worker_that_starts_again_in_a_deploy_undoes_nothing(deployed: Stage) -> None:
    deployed.mailbox.register([OLD])
    deployed.mailbox.register([NEW])
    deployed.mailbox.heartbeat("worker-1", leaving=True)
    deployed.mailbox.heartbeat("worker-2")
    deployed.mailbox.register([OLD])
    assert said(deployed) == NEW


def test_what_was_said_earlier_holds_again_when_no_worker_is_left(deployed: Stage) -> None:
    deployed.mailbox.register([OLD])
    deployed.mailbox.register([NEW])
    deployed.mailbox.heartbeat("worker-1", leaving=True)
    assert deployed.mailbox.routes().upheld == frozenset()
    deployed.mailbox.register([OLD])
    deployed.mailbox.heartbeat("worker-2")
    assert said(deployed) == OLD
    deployed.publish_keys("1", "2", "3")
    assert len(deployed.fetch().deliveries) == 3


def test_what_was_said_earlier_holds_again_when_nobody_upholds_what_is_newer(
    deployed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback, worker by worker."""
    for module in (wire, routes):
        monkeypatch.setattr(module, "UPHELD_MS", BRIEF)
    monkeypatch.setattr("callboard.actors.mailbox.redis.mailbox.UPHELD_MS", BRIEF)
    deployed.mailbox.register([OLD])
    deployed.mailbox.register([NEW])
    deployed.let_pass(BRIEF)
    assert deployed.mailbox.routes().upheld == frozenset()
    deployed.mailbox.register([OLD])
    assert said(deployed) == OLD
    deployed.mailbox.register([NEW])
    assert said(deployed) == NEW


def test_the_routes_say_whose_are_upheld(deployed: Stage) -> None:
    deployed.mailbox.register([OLD, Subscription("audit", "orders", WINDOWS)])
    assert deployed.mailbox.routes().upheld == {"receipt", "audit"}


def test_a_minute_without_a_word_and_a_subscription_is_upheld_no_more(virtual_stage: VirtualStage) -> None:
    virtual_stage.mailbox.register([OLD])
    upheld = []
    for _ in range(3):
        virtual_stage.mailbox.heartbeat("worker-1")
        upheld.append(bool(virtual_stage.mailbox.routes().upheld))
        virtual_stage.let_pass(30_000)
    assert upheld == [True, True, False]


def test_only_the_latest_are_remembered_and_the_newest_of_them_holds(deployed: Stage) -> None:
    many = [
        Subscription("receipt", "orders", WINDOWS, concurrency=limit) for limit in range(1, MOST_SAID + 3)
    ]
    for each in many:
        deployed.mailbox.register([each])
    for each in many[2:]:
        deployed.mailbox.register([each])
        assert said(deployed) == many[-1]
    deployed.publish(posting(target("1")))
    assert ids(deployed.fetch().deliveries) == ["receipt:1"]
