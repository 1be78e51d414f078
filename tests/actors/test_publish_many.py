"""Of many events each is published or refused by itself, and told by its position."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callboard import Callboard, Event
from callboard.actors.chunks import CHUNK, CHUNK_BYTES
from callboard.messages.errors import (
    InvalidAfter,
    InvalidEvent,
    InvalidKey,
    MailboxUnavailable,
    ManyRefused,
    PayloadConflict,
    UnroutedEvent,
)
from tests.actors.rehearsal import (
    Blob,
    FaultyMailbox,
    OrderPlaced,
    SendReceipt,
    actors_of,
    new_app,
    queue_of,
    subscribe,
    until,
    work_off,
)

A = OrderPlaced("A", 1.0)


def test_many_events_answer_with_receipts_in_their_order(app: Callboard) -> None:
    seen = subscribe(app, "handler")
    events = [OrderPlaced(str(number)) for number in range(2 * CHUNK + 7)]
    receipts = app.publish_many(events, dedup_key=lambda event: f"k-{event.order_id}")  # type: ignore[attr-defined]  # all are orders
    assert len({receipt.id for receipt in receipts}) == len(events)
    again = app.publish_many(iter(events[:3]), dedup_key=lambda event: f"k-{event.order_id}")  # type: ignore[attr-defined]  # all are orders
    assert [actors_of(receipt) for receipt in again] == 3 * [[("handler", True)]]
    work_off(app)
    assert {event for _, event in seen} == set(events)
    assert len(seen) == len(events)


def test_no_events_make_no_receipts_and_no_call(memory_app: Callboard) -> None:
    assert memory_app.publish_many([]) == []


def test_large_events_go_out_in_more_than_one_call() -> None:
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))
    subscribe(app, "handler", to=Blob)
    app.publish_many(Blob("x" * 200_000) for _ in range(11))
    assert mailbox.calls.count("publish") == 11 * 200_000 // CHUNK_BYTES + 1


def test_many_of_which_some_are_refused_are_all_tried_and_told_by_position(app: Callboard) -> None:
    seen = subscribe(app, "handler")
    app.publish(OrderPlaced("x", 1.0), dedup_key="x")
    events: list[Any] = [
        A,
        "no event",
        OrderPlaced("B"),
        OrderPlaced("x", 2.0),
        SendReceipt("C"),
        OrderPlaced("D"),
    ]
    keys = iter(["a", "none", "b", "x", "c", "d"])
    with pytest.raises(ManyRefused) as caught:
        app.publish_many(events, dedup_key=lambda event: next(keys))
    refused = caught.value.refused
    assert {position: type(error) for position, error in refused.items()} == {
        1: InvalidEvent,
        3: PayloadConflict,
        4: UnroutedEvent,
    }
    assert caught.value.receipts.keys() == {0, 2, 5}
    assert "3 of 6 events were refused" in str(caught.value)
    assert "event 3: order.placed: its dedup key" in str(caught.value)
    work_off(app)
    assert {event.order_id for _, event in seen if isinstance(event, OrderPlaced)} == {"A", "B", "D", "x"}


def test_an_error_of_the_mailbox_ends_many_and_what_was_posted_stays() -> None:
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))
    subscribe(app, "handler")

    mailbox.faults["publish"] = [None, MailboxUnavailable("gone")]
    with pytest.raises(MailboxUnavailable):
        app.publish_many(OrderPlaced(str(number)) for number in range(CHUNK + 1))
    assert queue_of(app).ready == CHUNK


def test_a_dedup_key_that_cannot_be_made_refuses_that_event_alone(app: Callboard) -> None:
    subscribe(app, "handler")

    def key(event: Event) -> str:
        return {"A": "a", "C": "c"}[event.order_id]  # type: ignore[attr-defined]  # all are orders

    with pytest.raises(ManyRefused) as caught:
        app.publish_many(map(OrderPlaced, "ABC"), dedup_key=key)
    assert caught.value.receipts.keys() == {0, 2}
    error = caught.value.refused[1]
    assert isinstance(error, InvalidKey)
    assert "dedup_key raised KeyError" in str(error)
    assert isinstance(error.__cause__, KeyError)
    assert queue_of(app).accepted == 2


def test_a_moment_that_passes_while_many_are_published_is_the_same_for_all(app: Callboard) -> None:
    subscribe(app, "handler")
    moment = datetime.now(UTC) + timedelta(milliseconds=30)

    def events() -> Iterator[Event]:
        yield OrderPlaced("A")
        until(lambda: datetime.now(UTC) > moment, "the moment to pass")
        yield OrderPlaced("B")

    assert len(app.publish_many(events(), after=moment)) == 2
    assert queue_of(app).accepted == 2


def test_an_after_that_cannot_be_is_told_before_any_of_many_is_published(app: Callboard) -> None:
    subscribe(app, "handler")
    events = iter([A, A])
    with pytest.raises(InvalidAfter):
        app.publish_many(events, after="soon")
    assert list(events) == [A, A]
