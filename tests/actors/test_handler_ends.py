"""What a handler's end means: it has succeeded, is tried again, or is dead."""

import pytest

from callboard import Callboard, Context, Retry
from callboard.messages.delivery import OutcomeKind, Reason
from tests.actors.rehearsal import AT_ONCE, OrderPlaced, ended, queue_of, work_off


def test_a_handler_that_returns_has_succeeded(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> str:
        return "ignored"

    app.publish(OrderPlaced("A"))
    work_off(app)
    queue = queue_of(app)
    assert (queue.accepted, queue.succeeded, queue.retried, queue.dead, queue.released) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_a_handler_that_raises_is_retried_and_the_thread_lives_on(
    app: Callboard, error: BaseException
) -> None:
    starts: list[int] = []

    @app.actor(retry=Retry.every("1 ms", on=BaseException))
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise error

    app.publish(OrderPlaced("A"))
    work_off(app, threads=1)
    assert starts == [1, 2, 3]
    assert (queue_of(app).retried, queue_of(app).succeeded) == (2, 1)


def test_the_last_attempt_that_is_allowed_ends_dead_with_its_first_and_last_error(app: Callboard) -> None:
    @app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        raise (ValueError if ctx.attempt == 1 else KeyError)(f"try {ctx.attempt}")

    app.publish(OrderPlaced("A"), dedup_key="k")
    work_off(app)
    record = ended(app)
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.MAX_ATTEMPTS)
    assert record.id.startswith("handler:k#")
    assert record.history.attempts == 3
    assert record.history.first_error is not None
    assert record.history.last_error is not None
    assert (record.history.first_error.type, record.history.first_error.message) == ("ValueError", "try 1")
    assert (record.history.last_error.type, record.history.last_error.message) == ("KeyError", "'try 3'")


def test_an_event_that_is_too_old_for_another_attempt_ends_dead(app: Callboard) -> None:
    @app.actor(retry=Retry.every("10 ms", give_up_after="50 ms"))
    def handler(event: OrderPlaced) -> None:
        raise ValueError("no")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert (ended(app).kind, ended(app).reason) == (OutcomeKind.DEAD, Reason.MAX_AGE)


def test_an_event_whose_key_ended_dead_may_be_published_again(app: Callboard) -> None:
    @app.actor(retry=Retry.never())
    def handler(event: OrderPlaced) -> None:
        if event.total < 2:
            raise ValueError("too little")

    app.publish(OrderPlaced("A", 1.0), dedup_key="k")
    work_off(app)
    receipt = app.publish(OrderPlaced("A", 2.0), dedup_key="k")
    assert [each.duplicate for each in receipt.deliveries] == [False]
    work_off(app)
    assert (queue_of(app).dead, queue_of(app).succeeded) == (1, 1)
