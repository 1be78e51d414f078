"""Routes, workers and the state of a workspace, and how every mailbox is closed."""

import threading
from collections.abc import Callable

import pytest

from callboard.actors.mailbox.mailbox import Settlement, Verdict
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.messages.errors import MailboxUnavailable
from tests.actors.mailbox.conformance import (
    DEADLINE,
    LONG,
    SUCCEEDED,
    WORKER,
    Stage,
    posting,
    settlement,
    target,
)

HOUR = 3_600_000


def test_routes_are_what_actors_registered_in_their_order(stage: Stage) -> None:
    audit = Subscription("audit", "audits", {"order.placed": 1000, "order.paid": 2000}, order=2)
    receipt = Subscription("receipt", "orders", {"order.placed": 1000}, order=1)
    both = Subscription("alpha", "orders", {}, order=2)
    stage.mailbox.register([audit, receipt])
    stage.mailbox.register([both])
    assert stage.mailbox.routes().subscriptions == (receipt, both, audit)


def test_the_version_of_the_routes_grows_only_when_they_change(stage: Stage) -> None:
    first = Subscription("receipt", "orders", {"order.placed": 1000, "order.paid": 2000})
    same = Subscription("receipt", "orders", {"order.paid": 2000, "order.placed": 1000})
    versions = [stage.mailbox.routes().version]
    for subscription in (first, first, same, Subscription("receipt", "orders", {"order.paid": 2000})):
        stage.mailbox.register([subscription])
        stage.let_pass(2)
        versions.append(stage.mailbox.routes().version)
    before, registered, confirmed, reordered, changed = versions
    assert before < registered == confirmed == reordered < changed
    assert stage.mailbox.routes().subscriptions[0].contracts == {"order.paid": 2000}


@pytest.mark.parametrize(
    "change",
    [
        Subscription("receipt", "slow", {"order.placed": 1000}, order=1),
        Subscription("receipt", "orders", {"order.placed": 2000}, order=1),
        Subscription("receipt", "orders", {"order.placed": 1000}, order=2),
    ],
)
def test_registering_an_actor_anew_replaces_what_was_known(stage: Stage, change: Subscription) -> None:
    stage.mailbox.register([Subscription("receipt", "orders", {"order.placed": 1000}, order=1)])
    before = stage.mailbox.routes()
    stage.mailbox.register([change])
    after = stage.mailbox.routes()
    assert after.version > before.version
    assert after.subscriptions == (change,)


@pytest.mark.parametrize(
    "windows", [[HOUR, 2 * HOUR], [2 * HOUR, HOUR], [HOUR, 2 * HOUR, 3 * HOUR], [HOUR, 2 * HOUR, HOUR]]
)
def test_a_changed_window_forgets_no_completion(stage: Stage, windows: list[int]) -> None:
    for window_ms in windows:
        stage.mailbox.register([Subscription("receipt", "orders", {"order.placed": window_ms})])
        event = posting(target(f"done under {window_ms}", window_ms=window_ms))
        stage.publish(event)
        for delivery in stage.fetch().deliveries:
            stage.settle(Settlement(delivery, SUCCEEDED, window_ms=window_ms))
    again = [target(f"done under {former}", window_ms=windows[-1]) for former in windows]
    assert stage.publish(*(posting(each) for each in again)) == [[Verdict.DUPLICATE]] * len(windows)
    assert stage.publish(posting(again[0], body=b"other")) == [[Verdict.CONFLICT]]
    assert stage.publish(posting(target("new", window_ms=windows[-1]))) == [[Verdict.ACCEPTED]]


def test_registering_nothing_changes_nothing(stage: Stage) -> None:
    before = stage.mailbox.routes()
    stage.mailbox.register([])
    assert stage.mailbox.routes() == before


def test_a_worker_is_listed_until_it_leaves(stage: Stage) -> None:
    before = stage.now()
    stage.mailbox.heartbeat("worker-1")
    stage.mailbox.heartbeat("worker-2")
    stage.mailbox.heartbeat("worker-1")
    workers = stage.mailbox.info().workers
    assert sorted(worker.owner for worker in workers) == ["worker-1", "worker-2"]
    assert all(before <= worker.seen_at <= stage.now() for worker in workers)
    stage.mailbox.heartbeat("worker-1", leaving=True)
    stage.mailbox.heartbeat("nobody", leaving=True)
    assert [worker.owner for worker in stage.mailbox.info().workers] == ["worker-2"]


def test_a_worker_is_listed_with_the_version_it_runs(stage: Stage) -> None:
    versions = {"worker-1": "0.1.0", "worker-2": "0.2.0", "worker-3": ""}
    for owner, version in versions.items():
        stage.mailbox.heartbeat(owner, version=version)
    stage.mailbox.heartbeat("worker-1", version="0.2.0")
    stage.mailbox.heartbeat("worker-2", leaving=True)
    told = {worker.owner: worker.version for worker in stage.mailbox.info().workers}
    assert told == {"worker-1": "0.2.0", "worker-3": ""}


def test_info_is_of_the_moment_and_sorted(stage: Stage) -> None:
    before = stage.now()
    stage.publish(posting(target("1", queue="b")), posting(target("2", queue="a"), delay_ms=LONG))
    info = stage.mailbox.info()
    assert before <= info.at <= stage.now()
    assert [queue.queue for queue in info.queues if queue.accepted] == ["a", "b"]
    assert info.server


def test_a_closed_mailbox_is_unavailable(stage: Stage) -> None:
    stage.publish()
    delivery = stage.take()
    mailbox = stage.mailbox
    mailbox.close()
    mailbox.close()
    calls: list[Callable[[], object]] = [
        lambda: mailbox.publish([posting()]),
        lambda: mailbox.fetch("orders", 1, owner=WORKER, lease_ms=LONG),
        lambda: mailbox.settle([settlement(delivery)]),
        lambda: mailbox.renew([delivery], LONG),
        lambda: mailbox.wait("orders", 0.01),
        lambda: mailbox.register([]),
        mailbox.routes,
        lambda: mailbox.heartbeat(WORKER),
        mailbox.info,
        lambda: mailbox.ended("orders"),
        lambda: mailbox.purge("orders"),
    ]
    for call in calls:
        with pytest.raises(MailboxUnavailable):
            call()


def test_closing_ends_a_wait(live_stage: Stage) -> None:
    ended = threading.Event()
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        try:
            live_stage.mailbox.wait("orders", 4 * DEADLINE)
        except MailboxUnavailable:
            pass  # as good an end as an answer
        finally:
            ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(DEADLINE)
    live_stage.mailbox.close()
    assert ended.wait(5.0)
    thread.join(DEADLINE)
