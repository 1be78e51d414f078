"""Layers of the stack around a real worker's handlers."""

from collections.abc import Generator
from typing import Any

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context
from callboard.messages.delivery import SUCCEEDED, Outcome
from callboard.middleware.stack import Stack
from tests.actors.rehearsal import AT_ONCE, OrderPlaced, new_app, queue_of, work_off

Layering = Generator[None, Outcome, Outcome]
"""What a layer is."""


def layered(layer: Any) -> Callboard:
    """An app with one more layer, the outermost."""
    app = new_app()
    (stack,) = [middleware for middleware in app.broker.middleware if isinstance(middleware, Stack)]
    stack.add(layer)
    return app


def test_layers_stand_around_the_handler_and_see_its_outcome() -> None:
    told: list[str] = []

    def witness(attempt: Any) -> Layering:
        told.append("before")
        outcome = yield
        told.append(str(outcome.kind))
        return outcome

    app = layered(witness)

    @app.actor
    def handler(event: OrderPlaced) -> None:
        told.append("handler")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert told == ["before", "handler", "succeeded"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_layer_that_yields_twice_is_told_and_strands_nothing(is_async: bool) -> None:
    told: list[int] = []

    def faulty(attempt: Any) -> Layering:
        outcome = yield
        if attempt.delivery.attempt == 1:
            yield
        return outcome

    app = layered(faulty)

    def handler(event: OrderPlaced, ctx: Context) -> None:
        told.append(ctx.attempt)

    async def ahandler(event: OrderPlaced, ctx: Context) -> None:
        told.append(ctx.attempt)

    app.actor(name="handler")(ahandler if is_async else handler)
    app.publish(OrderPlaced("A"))
    with capture_logs() as logs:
        work_off(app)
    assert told == [1, 2]
    assert queue_of(app).succeeded == 1
    (line,) = [line for line in logs if line["event"] == "a layer failed"]
    assert line["actor"] == "handler"


def test_a_layer_may_answer_before_the_body_is_read() -> None:
    def answering(attempt: Any) -> Layering:
        yield from ()
        return SUCCEEDED

    app = layered(answering)

    @app.actor
    def handler(event: OrderPlaced) -> None:
        raise AssertionError("a layer has answered")

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert queue_of(app).succeeded == 1


def test_a_layer_that_always_fails_keeps_to_the_limits_of_the_actor() -> None:
    starts: list[int] = []

    def faulty(attempt: Any) -> Layering:
        outcome = yield
        if attempt.delivery.attempt <= 20:
            raise OSError("no")
        return outcome

    app = layered(faulty)

    @app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)

    app.publish(OrderPlaced("A"))
    with capture_logs():
        work_off(app)
    assert len(starts) == 3
