"""A handler that cannot be interrupted: its delivery is taken over, and its own late end is fenced off."""

import threading

import dramatiq
import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, Event, MemoryMailbox, Retry
from tests.actors.rehearsal import queue_of, until, working


class Ping(Event, name="ping"):
    """What the handler does not come back from."""


def test_a_stuck_plain_actor_is_let_go_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard.middleware.deadline.STUCK_AFTER", 0.05)
    app = Callboard("shop", mailbox=MemoryMailbox(), lease="300ms")
    starts: list[int] = []
    go = threading.Event()

    @dramatiq.actor(broker=app.broker, timeout="50ms", retry=Retry.never())
    def handler() -> None:
        starts.append(1)
        if len(starts) == 1:
            go.wait(20)

    handler.send()
    with working(app, threads=2):
        until(lambda: queue_of(app).succeeded == 1, "the other start to succeed")
        go.set()
        until(lambda: queue_of(app).fenced == 1, "the first start to be fenced off")
    assert (len(starts), queue_of(app).takeovers) == (2, 1)


def test_a_stuck_handlers_delivery_is_done_by_another_and_its_own_end_is_fenced_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callboard.middleware.deadline.STUCK_AFTER", 0.05)
    app = Callboard("shop", mailbox=MemoryMailbox(), lease="300ms")
    fences: list[int] = []
    go = threading.Event()

    @app.actor(timeout="50ms", retry=Retry.never())
    def handler(event: Ping, ctx: Context) -> None:
        fences.append(ctx.fence)
        if len(fences) == 1:
            go.wait(20)  # in C, where no exception arrives

    app.publish(Ping())
    with capture_logs() as logs, working(app, threads=2):
        until(lambda: queue_of(app).succeeded == 1, "the other start to succeed")
        go.set()
        until(lambda: queue_of(app).fenced == 1, "the first start to be fenced off")
    assert fences == sorted(set(fences))
    assert len(fences) == 2
    state = queue_of(app)
    assert (state.takeovers, state.dead, state.leased) == (1, 0, 0)
    assert [line["event"].partition(":")[0] for line in logs].count("stuck") == 1
