"""All that one cause brought about is told by any id of it, with outcomes, times and errors."""

import time

import msgspec
import pytest

from callboard import Callboard, Context, Event, Retry
from callboard.actors.lineage import DeliveryTold, EventTold, Lineage, lineage_of
from tests.actors.rehearsal import new_app, work_off


class Placed(Event, name="order.placed"):
    order_id: str


class Packed(Event, name="order.packed"):
    order_id: str
    parcel: int = 0


class Posted(Event, name="order.posted", dedup="parcel"):
    parcel: str


class Forgotten(Event, name="order.forgotten"):
    order_id: str


def shop(app: Callboard) -> None:
    """Placed leads to two parcels, each to a post; nobody wants to know what was forgotten."""
    app.contract(Forgotten)

    @app.actor
    def pack(event: Placed, ctx: Context) -> None:
        for parcel in (1, 2):
            ctx.publish(Packed(event.order_id, parcel))

    @app.actor(retry=Retry.every("1 ms", max_attempts=2))
    def thank(event: Placed) -> None:
        raise ConnectionError("no post office")

    @app.actor
    def post(event: Packed, ctx: Context) -> None:
        ctx.publish(Posted(f"{event.order_id}/{event.parcel}"))
        ctx.publish(Forgotten(event.order_id))

    @app.actor
    def deliver(event: Posted) -> None: ...


def known(app: Callboard, identity: str) -> Lineage:
    found = lineage_of(app.mailbox, identity)
    assert found is not None
    return found


def shape(found: Lineage) -> list[tuple[int, str | None, list[tuple[str, str]]]]:
    return [
        (event.depth, event.name, [(each.actor, each.state) for each in event.deliveries])
        for event in found.events
    ]


PARCEL = [
    (1, "order.packed", [("post", "succeeded")]),
    (2, "order.posted", [("deliver", "succeeded")]),
    (2, "order.forgotten", []),
]


@pytest.mark.usefixtures("impatient")
def test_a_tree_is_told_by_any_id_of_it(app: Callboard) -> None:
    shop(app)
    before = time.time_ns() // 1_000_000
    receipt = app.publish(Placed("A-1"))
    other = app.publish(Placed("A-2"))
    work_off(app)
    found = known(app, receipt.id)
    first = (0, "order.placed", [("pack", "succeeded"), ("thank", "dead")])
    assert shape(found) == [first, *PARCEL, *PARCEL]
    assert found.correlation_id == receipt.id
    assert found.is_whole
    root, packed, posted = found.events[:3]
    assert (packed.causation_id, posted.causation_id) == (root.id, packed.id)
    for identity in (*(event.id for event in found.events), f"pack:{receipt.id}", f"thank:{receipt.id}"):
        assert known(app, identity) == found, identity
    assert shape(known(app, other.id)) == shape(found)
    check_times(root, before)


def check_times(root: EventTold, before: int) -> None:
    pack, thank = root.deliveries
    after = time.time_ns() // 1_000_000
    assert root.published_at is not None
    assert before - 1 <= root.published_at <= after + 1
    assert pack.ended_at is not None
    assert before - 1 <= pack.ended_at + pack.ended_within_ms
    assert pack.ended_at <= after + 1
    assert (thank.reason, thank.attempts) == ("max_attempts", 2)
    assert thank.last_error is not None
    assert (thank.last_error.type, thank.last_error.message) == ("ConnectionError", "no post office")
    assert thank.ended_at is not None


def test_what_has_not_ended_is_told_as_it_stands(app: Callboard) -> None:
    shop(app)
    app._boot()
    receipt = app.publish(Placed("A-1"), after="1 hour", correlation_id="request-7")
    found = known(app, receipt.id)
    assert shape(found) == [(0, "order.placed", [("pack", "scheduled"), ("thank", "scheduled")])]
    assert found == known(app, "request-7")
    (event,) = found.events
    told = event.deliveries[0]
    assert told.due_at is not None
    assert told.accepted_at is not None
    assert told.until == told.due_at == pytest.approx(told.accepted_at + 3_600_000, abs=50)


def test_of_what_nobody_knows_nothing_is_told(app: Callboard) -> None:
    assert lineage_of(app.mailbox, "no-such-id") is None


def test_no_more_events_are_looked_up_than_a_person_would_read() -> None:
    app = new_app()

    @app.actor
    def burst(event: Placed, ctx: Context) -> None:
        for parcel in range(30):
            ctx.publish(Packed(event.order_id, parcel))

    receipt = app.publish(Placed("A"))
    work_off(app)
    found = lineage_of(app.mailbox, receipt.id, most=10)
    assert found is not None
    assert (len(found.events), found.is_whole) == (10, False)
    assert found.events[0].id == receipt.id
    assert {event.causation_id for event in found.events[1:]} == {receipt.id}


def test_a_tree_tells_no_body(app: Callboard) -> None:
    shop(app)
    receipt = app.publish(Placed("pl4nted"))
    work_off(app)
    assert b"pl4nted" not in msgspec.json.encode(known(app, receipt.id)).replace(b"deliver:pl4nted", b"")
    assert DeliveryTold.__struct_fields__[0] == "actor"
