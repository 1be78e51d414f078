"""The wire form is CloudEvents 1.0 as JSON that a person can read in the server."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from callboard.messages.codec import decode_envelope, encode
from callboard.messages.envelope import Envelope
from callboard.messages.event import Event

AT = datetime(2026, 1, 31, 9, 0, 0, 250_000, tzinfo=UTC)


class OrderPlaced(Event, name="order.placed", version=2, key="order_id"):
    order_id: str
    email: str
    total: float


class Ticked(Event, name="ticked"):
    pass


def test_the_smallest_event_on_the_wire() -> None:
    assert encode(Ticked(), id="e-1", source="shop", time=AT).body == (
        b'{"specversion":"1.0","id":"e-1","source":"shop","type":"ticked",'
        b'"time":"2026-01-31T09:00:00.250000Z","data":{}}'
    )


def test_an_event_with_everything_on_the_wire() -> None:
    encoded = encode(
        OrderPlaced("A-1", "ann@example.org", 25.0),
        id="e-1",
        source="shop",
        time=AT,
        correlation_id="c-1",
        causation_id="e-0",
        attributes={"tenant": "é"},
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        workflow_id="w-1",
        workflow_step="pay",
    )
    assert encoded.body.decode() == (
        '{"specversion":"1.0","id":"e-1","source":"shop","type":"order.placed",'
        '"time":"2026-01-31T09:00:00.250000Z","dataversion":2,"subject":"A-1","correlationid":"c-1",'
        '"causationid":"e-0","attributes":{"tenant":"é"},'
        '"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",'
        '"workflowid":"w-1","workflowstep":"pay",'
        '"data":{"order_id":"A-1","email":"ann@example.org","total":25.0}}'
    )


def test_an_envelope_that_was_read_says_what_was_written() -> None:
    encoded = encode(
        OrderPlaced("A-1", "ann@example.org", 25.0), id="e-1", source="shop", time=AT, attributes={"a": "b"}
    )
    envelope = decode_envelope(encoded.body)
    assert (envelope.type, envelope.dataversion, envelope.subject) == ("order.placed", 2, "A-1")
    assert (envelope.time, envelope.attributes, envelope.correlationid) == (AT, {"a": "b"}, None)
    assert bytes(envelope.data) == b'{"order_id":"A-1","email":"ann@example.org","total":25.0}'
    assert msgspec.json.encode(envelope) == encoded.body


def test_the_time_is_told_in_utc() -> None:
    local = AT.astimezone(timezone(timedelta(hours=2)))
    assert encode(Ticked(), id="e", source="s", time=local) == encode(Ticked(), id="e", source="s", time=AT)


def test_without_a_time_the_publishers_clock_is_read() -> None:
    before = datetime.now(UTC)
    envelope = decode_envelope(encode(Ticked(), id="e", source="s").body)
    assert before <= envelope.time <= datetime.now(UTC)


def test_attributes_it_does_not_know_are_let_through() -> None:
    envelope = decode_envelope(
        b'{"specversion":"1.0","id":"e","source":"s","type":"ticked","time":"2026-01-31T09:00:00Z",'
        b'"datacontenttype":"application/json","data":null}'
    )
    assert (envelope.dataversion, bytes(envelope.data)) == (1, b"null")


def test_the_reprs_show_ids_and_no_content() -> None:
    encoded = encode(
        OrderPlaced("A-1", "SECRET", 1.0), id="e-1", source="shop", attributes={"token": "SECRET"}
    )
    envelope = decode_envelope(encoded.body)
    assert repr(envelope) == "<Envelope order.placed v2 id=e-1>"
    shown = [repr(envelope), str(envelope), repr(encoded), envelope.__rich_repr__(), encoded.__rich_repr__()]
    assert "SECRET" not in str(shown)


def test_an_envelope_cannot_change() -> None:
    envelope = decode_envelope(encode(Ticked(), id="e", source="s").body)
    with pytest.raises(AttributeError):
        envelope.id = "f"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(envelope, Envelope)
