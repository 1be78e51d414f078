"""What a handler is told of its event and its attempt."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from callboard import Callboard, Context, RetryLater
from tests.actors.rehearsal import AT_ONCE, OrderPlaced, work_off


def test_the_context_tells_of_the_event_and_the_attempt(app: Callboard) -> None:
    told: list[dict[str, Any]] = []

    @app.actor(name="clerk", retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        fields = ("id", "name", "time", "delay", "attempt", "fence", "actor", "attributes")
        told.append({field: getattr(ctx, field) for field in fields} | {"age": ctx.age(), "shown": repr(ctx)})
        if ctx.attempt == 1:
            raise RetryLater(timedelta(milliseconds=1))

    before = datetime.now(UTC) - timedelta(seconds=1)
    receipt = app.publish(OrderPlaced("A"), attributes={"tenant": "north"})
    work_off(app)
    first, second = told
    assert (first["id"], first["name"], first["actor"]) == (receipt.id, "order.placed", "clerk")
    assert first["attributes"] == {"tenant": "north"}
    assert before < first["time"] < datetime.now(UTC) + timedelta(seconds=1)
    assert first["delay"] == timedelta(0)
    assert first["age"] >= timedelta(0)
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert second["fence"] > first["fence"] > 0
    assert second["time"] == first["time"]
    assert first["shown"] == f"<Context order.placed id={receipt.id} actor=clerk attempt=1>"


def test_the_logger_carries_what_identifies_the_attempt(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        ctx.logger.info("sending", to=event.order_id)

    receipt = memory_app.publish(OrderPlaced("A"), correlation_id="c-1")
    with capture_logs() as logs:
        work_off(memory_app)
    (line,) = [line for line in logs if line["event"] == "sending"]
    expected = {"event_name": "order.placed", "event_id": receipt.id, "actor": "handler", "attempt": 1}
    assert expected.items() <= line.items()
    assert (line["correlation_id"], line["to"]) == ("c-1", "A")


def test_a_context_is_made_for_one_attempt_only(memory_app: Callboard) -> None:
    seen: set[int] = set()
    kept: list[Context] = []
    both = threading.Barrier(2)

    @memory_app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        both.wait(10)
        kept.append(ctx)
        seen.add(ctx.fence * 1000 + int(event.order_id))

    memory_app.publish_many([OrderPlaced("1"), OrderPlaced("2")])
    work_off(memory_app)
    assert kept[0] is not kept[1]
    assert {each % 1000 for each in seen} == {1, 2}
