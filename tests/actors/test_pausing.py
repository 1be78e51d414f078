"""A paused queue and the workers on it: they finish what they have, take nothing, and are back at once."""

import threading

from callboard import Callboard
from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.rehearsal import DEADLINE, OrderPlaced, is_at_rest, orders, queue_of, until, working


def test_what_runs_is_finished_and_the_rest_waits_until_the_queue_is_resumed(app: Callboard) -> None:
    begun, go_on, seen = threading.Event(), threading.Event(), list[str]()

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)
        begun.set()
        assert go_on.wait(DEADLINE)

    with working(app, threads=1):
        app.publish(OrderPlaced("first"))
        assert begun.wait(DEADLINE)
        app.mailbox.controls.pause("default", by="ann")
        app.publish_many(orders(5))
        go_on.set()
        until(lambda: queue_of(app).succeeded == 1, "the end of what ran")
        until(lambda: queue_of(app).leased == 0, "the settlement")
        assert (seen, queue_of(app).ready) == (["first"], 5)
        app.mailbox.controls.resume("default")
        until(lambda: is_at_rest(app), "the rest")
    assert sorted(seen) == ["0", "1", "2", "3", "4", "first"]


def test_an_idle_worker_is_not_asked_to_look_while_its_queue_is_paused(server_url: str) -> None:
    mailbox = RedisMailbox(server_url, workspace="paused-and-idle")
    app = Callboard("shop", mailbox=mailbox)

    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    def fetches() -> int:
        stats = mailbox.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))

    mailbox.controls.pause("default")
    with working(app):
        until(lambda: mailbox.info().workers, "the worker")
        settled = fetches()
        # Publishes as scripts of their own, and not one fetch after them.
        receipts = [app.publish(OrderPlaced(str(number))) for number in range(200)]
        assert fetches() - settled - len(receipts) <= 10
        mailbox.controls.resume("default")
        until(lambda: queue_of(app).succeeded == 200, "all of them")
    app.close()
