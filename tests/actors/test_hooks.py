"""The hooks of other dramatiq middleware fire once for a delivery, as on dramatiq."""

from collections import Counter
from typing import Any

import dramatiq
import pytest

from callboard import Callboard, Context
from callboard.messages.delivery import OutcomeKind, Reason
from tests.actors.rehearsal import AT_ONCE, OrderPlaced, Witness, ended, queue_of, work_off


def test_hooks_of_other_middleware_fire_once_for_each_event(app: Callboard) -> None:
    witness = Witness()
    app.broker.add_middleware(witness)

    @app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        if event.order_id == "B" and ctx.attempt == 1:
            raise ValueError("no")

    for name in "ABC":
        app.publish(OrderPlaced(name), dedup_key=name)
    work_off(app)
    assert Counter(witness.told) == {
        ("before", "A"): 1,
        ("after", "A"): 1,
        ("before", "C"): 1,
        ("after", "C"): 1,
        ("before", "B"): 2,
        ("failed", "B"): 1,
        ("after", "B"): 1,
    }


def test_hooks_fire_for_async_handlers_as_well(memory_app: Callboard) -> None:
    witness = Witness()
    memory_app.broker.add_middleware(witness)

    @memory_app.actor
    async def handler(event: OrderPlaced) -> None: ...

    memory_app.publish(OrderPlaced("A"), dedup_key="A")
    work_off(memory_app)
    assert witness.told == [("before", "A"), ("after", "A")]


def test_a_hook_that_fails_is_logged_and_the_handler_runs(
    memory_app: Callboard, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(dramatiq.Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            raise OSError("no gauge")

    memory_app.broker.add_middleware(Broken())

    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    memory_app.publish(OrderPlaced("A"))
    work_off(memory_app)
    assert queue_of(memory_app).succeeded == 1
    assert "Unexpected failure in before_process_message" in caplog.text


def test_a_middleware_that_skips_an_event_discards_it(memory_app: Callboard) -> None:
    class Skips(Witness):
        def before_process_message(self, broker: Any, message: Any) -> None:
            raise dramatiq.middleware.SkipMessage("not today")

    witness = Skips()
    memory_app.broker.add_middleware(witness)

    @memory_app.actor
    def handler(event: OrderPlaced) -> None:
        raise AssertionError("skipped")

    memory_app.publish(OrderPlaced("A"), dedup_key="A")
    work_off(memory_app)
    assert (ended(memory_app).kind, ended(memory_app).reason) == (OutcomeKind.DISCARDED, Reason.REJECTED)
    assert "not today" in (ended(memory_app).detail or "")
    assert witness.told == [("skipped", "A")]


def test_without_middleware_that_has_hooks_none_are_looked_for(memory_app: Callboard) -> None:
    class Silent(dramatiq.Middleware):
        def after_worker_boot(self, broker: Any, worker: Any) -> None: ...

    assert not memory_app.broker.hooks.any
    memory_app.broker.add_middleware(Silent())
    assert not memory_app.broker.hooks.any
    memory_app.broker.add_middleware(Witness())
    assert memory_app.broker.hooks.any


@pytest.mark.parametrize("hook", ["before_process_message", "after_process_message", "after_skip_message"])
def test_one_hook_alone_is_enough_to_be_found(memory_app: Callboard, hook: str) -> None:
    memory_app.broker.add_middleware(type("Single", (dramatiq.Middleware,), {hook: lambda *_, **__: None})())
    assert memory_app.broker.hooks.any


def test_middleware_never_sees_a_ticket(memory_app: Callboard) -> None:
    class Sees(dramatiq.Middleware):
        def __init__(self) -> None:
            self.actors: set[str] = set()

        def before_process_message(self, broker: Any, message: Any) -> None:
            self.actors.add(message.actor_name)

        def before_ack(self, broker: Any, message: Any) -> None:
            self.actors.add(message.actor_name)

    sees = Sees()
    memory_app.broker.add_middleware(sees)

    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    memory_app.publish(OrderPlaced("A"))
    work_off(memory_app)
    assert sees.actors == {"handler"}
