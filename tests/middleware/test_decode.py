"""The decode layer makes an event of bytes, or ends the delivery with the reason why it cannot."""

import pytest

from callboard import Event
from callboard.messages.catalog import Catalog
from callboard.messages.codec import encode
from callboard.messages.delivery import SUCCEEDED, OutcomeKind, Reason
from callboard.middleware.decode import Decode
from callboard.middleware.unknown import UNKNOWN_FOR_MS
from tests.middleware.attempts import NOW, OrderPlaced, attempt, run


class Other(Event, name="order.other"):
    """A contract that the catalog knows and the actor does not want."""

    order_id: str


@pytest.fixture
def decode() -> Decode:
    catalog = Catalog()
    catalog.add(OrderPlaced)
    catalog.add(Other)
    return Decode(catalog)


def test_the_event_and_its_envelope_are_there_before_the_handler_runs(decode: Decode) -> None:
    made = attempt()
    assert run(decode, made, SUCCEEDED) == (True, SUCCEEDED)
    assert made.event == OrderPlaced("A")
    assert (made.envelope.id, made.envelope.type) == ("e-1", "order.placed")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"specversion":"1.0"}', b"\xff", b"[" * 200_000])
def test_bytes_that_are_no_envelope_end_the_delivery(decode: Decode, body: bytes) -> None:
    ran, outcome = run(decode, attempt(body=body), SUCCEEDED)
    assert not ran
    assert (outcome.kind, outcome.reason) == (OutcomeKind.DEAD, Reason.INVALID_BODY)
    assert outcome.detail


def test_fields_that_do_not_fit_end_the_delivery_naming_the_field_and_not_the_content(decode: Decode) -> None:
    body = encode(OrderPlaced("A"), id="e-1", source="t").body.replace(b'"order_id":"A"', b'"order_id":12345')
    ran, outcome = run(decode, attempt(body=body), SUCCEEDED)
    assert (ran, outcome.reason) == (False, Reason.INVALID_BODY)
    assert "order_id" in (outcome.detail or "")
    assert "12345" not in (outcome.detail or "")


def test_a_contract_the_actor_does_not_want_waits_for_a_worker_whose_actor_does(decode: Decode) -> None:
    made = attempt(body=encode(Other("A"), id="e-1", source="t").body)
    ran, outcome = run(decode, made, SUCCEEDED)
    assert (ran, outcome.kind, outcome.delay_ms) == (False, OutcomeKind.RETRIED, 1000)
    assert outcome.detail == "handler does not subscribe to 'order.other'"
    assert made.history(outcome.error).attempts == 0


def test_a_contract_that_nobody_knew_for_an_hour_ends_the_delivery(decode: Decode) -> None:
    body = encode(Other("A"), id="e-1", source="t").body
    _, first = run(decode, attempt(body=body), SUCCEEDED)
    for waited, kind in ((UNKNOWN_FOR_MS - 1, OutcomeKind.RETRIED), (UNKNOWN_FOR_MS, OutcomeKind.DEAD)):
        later = attempt(body=body, history=attempt().history(first.error), now=NOW + waited)
        assert run(decode, later, SUCCEEDED)[1].kind is kind


def test_a_contract_the_catalog_has_not_got_waits_as_well() -> None:
    ran, outcome = run(Decode(Catalog()), attempt(), SUCCEEDED)
    assert (ran, outcome.kind) == (False, OutcomeKind.RETRIED)
