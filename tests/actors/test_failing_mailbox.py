"""A mailbox that fails is survived, and no handler runs that should not."""

import dramatiq
import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context
from callboard.actors.mailbox.mailbox import Mailbox
from callboard.messages.errors import MailboxError, MailboxRefused, MailboxUnavailable
from tests.actors.rehearsal import (
    FaultyMailbox,
    OrderPlaced,
    is_at_rest,
    new_app,
    orders,
    queue_of,
    until,
    work_off,
    working,
)

FAULTS = [MailboxUnavailable("no answer"), MailboxRefused("out of memory")]


def faulty(mailbox: Mailbox) -> tuple[Callboard, FaultyMailbox, list[str]]:
    """An app on a mailbox whose methods can be made to fail, and what its handler saw."""
    wrapped = FaultyMailbox(mailbox)
    app, seen = new_app(wrapped), []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    return app, wrapped, seen


@pytest.mark.parametrize("error", FAULTS, ids=["unavailable", "refused"])
@pytest.mark.parametrize("method", ["fetch", "wait", "settle", "renew", "heartbeat"])
def test_a_failing_mailbox_is_survived_and_each_handler_runs_once(
    mailbox: Mailbox, method: str, error: MailboxError
) -> None:
    app, wrapped, seen = faulty(mailbox)
    wrapped.fail(method, error, times=3)
    with working(app):
        app.publish_many(orders(5))
        until(lambda: is_at_rest(app), "rest")
    assert sorted(seen) == ["0", "1", "2", "3", "4"]
    assert queue_of(app).succeeded == 5
    assert queue_of(app).takeovers == 0


@pytest.mark.parametrize("error", FAULTS, ids=["unavailable", "refused"])
def test_no_handler_runs_while_fetching_fails(mailbox: Mailbox, error: MailboxError) -> None:
    app, wrapped, seen = faulty(mailbox)
    app.publish(OrderPlaced("A"))
    wrapped.fail("fetch", error, times=100_000)
    with working(app):
        until(lambda: wrapped.calls.count("fetch") >= 3, "three tries")
    assert seen == []
    assert (queue_of(app).ready, queue_of(app).leased) == (1, 0)
    wrapped.faults.clear()
    work_off(app)
    assert seen == ["A"]


def test_a_worker_does_not_start_while_the_mailbox_cannot_be_reached() -> None:
    app, wrapped, _ = faulty(new_app().mailbox)
    wrapped.fail("register", MailboxUnavailable("no answer"))
    with pytest.raises(dramatiq.BrokerConnectionError, match="no answer"):
        dramatiq.Worker(app.broker, worker_threads=1).start()
    app.publish(OrderPlaced("A"))
    work_off(app)


def test_a_success_that_could_not_be_written_before_the_end_is_told_and_started_again(
    mailbox: Mailbox,
) -> None:
    wrapped = FaultyMailbox(mailbox)
    app = new_app(wrapped, lease="300 ms", grace="50 ms")
    fences: list[int] = []

    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        fences.append(ctx.fence)
        if len(fences) == 1:
            wrapped.fail("settle", MailboxUnavailable("gone"), times=10_000)

    app.publish(OrderPlaced("A"))
    with capture_logs() as logs, working(app):
        until(lambda: "settle" in wrapped.calls, "the first try to settle")
    assert any("could not be written" in line["event"] for line in logs)
    wrapped.faults.clear()
    work_off(app)
    assert len(fences) == 2
    assert fences[1] > fences[0]
    assert (queue_of(app).succeeded, queue_of(app).takeovers) == (1, 1)
