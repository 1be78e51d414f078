"""What the records of an app's deliveries tell, from the publish to the end; over memory and a server."""

import pytest

from callboard import Callboard, Context, Event, Retry
from callboard.actors.mailbox.records import EndedRecord, Span, records_in
from callboard.messages.delivery import OutcomeKind, Reason
from tests.actors.rehearsal import OrderPlaced, work_off

DAY = 24 * 3_600_000


class Paid(Event, name="order.paid", version=3, key="order_id", retention="90d"):
    """An event whose every delivery is recorded."""

    order_id: str


class Brief(Event, name="brief", window="1h"):
    """An event whose completions are soon forgotten."""


class Ages(Event, name="ages", window="90d"):
    """An event whose completions are remembered for longer than failures."""


class KeptAges(Event, name="ages.kept", window="1h", retention="90d"):
    """An event that says both."""


def _fails_first(ctx: Context) -> None:
    if ctx.attempt == 1:
        raise KeyError("the first attempt fails")


def records(app: Callboard, kind: OutcomeKind) -> list[EndedRecord]:
    """What is kept of a kind, the latest first."""
    return list(records_in(app.mailbox.records, Span("default", kind, bodies=True)))


def test_a_success_at_the_first_attempt_leaves_no_record(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced) -> None:
        pass

    receipt = app.publish(OrderPlaced("A-1"))
    work_off(app)
    assert records(app, OutcomeKind.SUCCEEDED) == []
    (found,) = app.mailbox.records.find(receipt.id)
    assert found.completed is not None
    assert found.ended == ()


def test_a_success_after_a_retry_tells_what_went_wrong_before(app: Callboard) -> None:
    @app.actor(retry=Retry.every(0.001))
    def handler(event: OrderPlaced, ctx: Context) -> None:
        _fails_first(ctx)

    receipt = app.publish(OrderPlaced("A-1"))
    work_off(app)
    (record,) = records(app, OutcomeKind.SUCCEEDED)
    assert record.facts.event == receipt.id
    assert record.facts.contract == "order.placed"
    assert record.history.attempts == 2
    assert record.history.first_error is not None
    assert (record.history.first_error.type, len(record.history.first_error.origin)) == ("KeyError", 12)
    assert record.until - record.at == DAY


@pytest.mark.parametrize(
    ("event", "hours"), [(Brief(), 1), (Ages(), 30 * 24), (KeptAges(), 90 * 24)], ids=str
)
@pytest.mark.parametrize("why", ["history", "items"])
def test_the_record_of_a_success_is_kept_for_its_window_or_its_retention(
    app: Callboard, event: Event, hours: int, why: str
) -> None:
    @app.actor(retry=Retry.every(0.001))
    def handler(event: Brief | Ages | KeptAges, ctx: Context) -> None:
        if why == "history":
            _fails_first(ctx)
        else:
            for item in ctx.items(["a", "b"]):
                with item:
                    pass

    app.publish(event)
    work_off(app)
    (record,) = records(app, OutcomeKind.SUCCEEDED)
    assert record.until - record.at == hours * 3_600_000
    items = app.mailbox.ledger.of_ended(record.id)
    assert sorted(each.key for each in items) == (["a", "b"] if why == "items" else [])


def test_a_contract_with_a_retention_keeps_a_record_of_every_delivery(app: Callboard) -> None:
    @app.actor
    def handler(event: Paid) -> None:
        pass

    receipt = app.publish(Paid("A-1"), correlation_id="cart-7")
    work_off(app)
    (record,) = records(app, OutcomeKind.SUCCEEDED)
    facts = record.facts
    assert (facts.event, facts.contract, facts.version) == (receipt.id, "order.paid", 3)
    assert (facts.entity, facts.correlation, facts.causation) == ("A-1", "cart-7", "")
    assert facts.owner
    assert record.accepted_at <= record.due_at <= facts.started_at
    # A worker knows the server's clock but for the time that a fetch was under way.
    assert facts.started_at <= record.at + 1000
    assert record.until - record.at == 90 * DAY
    assert (record.history.attempts, record.history.last_error) == (1, None)


def test_what_a_handler_publishes_names_its_cause_in_its_record(app: Callboard) -> None:
    @app.actor
    def first(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(Paid(event.order_id))

    @app.actor
    def second(event: Paid) -> None:
        pass

    receipt = app.publish(OrderPlaced("A-1"))
    work_off(app)
    (record,) = records(app, OutcomeKind.SUCCEEDED)
    assert (record.facts.correlation, record.facts.causation) == (receipt.id, receipt.id)


@pytest.mark.parametrize("retention", [True, False])
def test_a_failure_is_kept_as_long_as_its_contract_says(app: Callboard, retention: bool) -> None:
    contract = Paid if retention else OrderPlaced

    @app.actor(retry=Retry.never())
    def handler(event: Paid | OrderPlaced) -> None:
        raise RuntimeError("no")

    app.publish(contract("A-1"))
    work_off(app)
    (record,) = records(app, OutcomeKind.DEAD)
    assert record.until - record.at == (90 if retention else 30) * DAY
    assert record.reason is Reason.MAX_ATTEMPTS
    assert record.facts.contract == ("order.paid" if retention else "order.placed")
    assert b"A-1" in record.body
