"""What cannot be handled is dead by itself, with its reason and its bytes."""

import pytest

from callboard import Callboard
from callboard.messages.delivery import OutcomeKind, Reason
from tests.actors.rehearsal import (
    OrderPlaced,
    OrderShipped,
    body_of,
    ended,
    new_app,
    post,
    queue_of,
    work_off,
)

UNREADABLE = {
    "not JSON": b"\xff\x00 no",
    "not an envelope": b'{"a": 1}',
    "trailing data": body_of(OrderPlaced("A")) + b"}",
    "too deep": b"[" * 100_000,
    "wrong type": body_of(OrderPlaced("A")).replace(b'"order_id":"A"', b'"order_id":7'),
    "field missing": body_of(OrderPlaced("A")).replace(b'"order_id":"A",', b""),
    "empty": b"",
}


@pytest.mark.parametrize("position", [0, 4, 8])
@pytest.mark.parametrize("what", UNREADABLE)
def test_an_unreadable_body_is_dead_alone_with_its_bytes_wherever_it_stands(what: str, position: int) -> None:
    app, seen = new_app(), []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    for number in range(9):
        if number == position:
            post(app, UNREADABLE[what])
        else:
            app.publish(OrderPlaced(str(number)))
    work_off(app)
    assert sorted(seen) == [str(number) for number in range(9) if number != position]
    record = ended(app)
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.INVALID_BODY)
    assert record.stored.endswith(UNREADABLE[what])
    assert queue_of(app).succeeded == 8


@pytest.mark.usefixtures("impatient")
def test_each_kind_of_unhandleable_delivery_is_dead_with_its_own_reason_and_its_bytes(app: Callboard) -> None:
    seen: list[str] = []

    @app.actor
    def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    shipped, newer = body_of(OrderShipped("A")), body_of(OrderPlaced("A"))
    app.publish(OrderPlaced("first"))
    post(app, b"{", "handler")
    app.publish(OrderPlaced("second"))
    post(app, shipped, "handler")
    post(app, newer, "nobody")
    app.publish(OrderPlaced("third"))
    work_off(app)
    assert sorted(seen) == ["first", "second", "third"]
    dead = {record.reason: record for record in app.mailbox.ended("default")}
    assert dead.keys() == {Reason.INVALID_BODY, Reason.UNKNOWN_CONTRACT, Reason.UNKNOWN_ACTOR}
    assert dead[Reason.INVALID_BODY].stored.endswith(b"{")
    assert dead[Reason.UNKNOWN_CONTRACT].stored.endswith(shipped)
    assert dead[Reason.UNKNOWN_ACTOR].stored.endswith(newer)
    assert all(record.kind is OutcomeKind.DEAD for record in dead.values())


def test_an_unreadable_body_for_an_async_actor_is_dead_too(app: Callboard) -> None:
    seen: list[str] = []

    @app.actor
    async def handler(event: OrderPlaced) -> None:
        seen.append(event.order_id)

    app.publish(OrderPlaced("first"))
    post(app, b"{")
    app.publish(OrderPlaced("second"))
    work_off(app)
    assert sorted(seen) == ["first", "second"]
    assert ended(app).reason is Reason.INVALID_BODY


def test_an_attempt_is_not_charged_when_no_handler_was_started(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: OrderPlaced) -> None: ...

    post(memory_app, b"{")
    work_off(memory_app)
    assert ended(memory_app).history.attempts == 0
