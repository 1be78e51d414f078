"""`app.cancel` and `app.reschedule`: what a publisher can still do about what it has published."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callboard import Callboard, Event, MemoryMailbox
from callboard.actors.mailbox.memory import VirtualClock
from callboard.messages.errors import InvalidAfter
from callboard.middleware.retry import Retry
from callboard.testing import Stage
from tests.actors.rehearsal import (
    DEADLINE,
    OrderPlaced,
    ended,
    new_app,
    queue_of,
    subscribe,
    until,
    work_off,
    working,
)

DAY = timedelta(days=1)


class Reminder(Event, name="reminder", dedup="who"):
    """Whose key is not its id."""

    who: str


def test_what_is_scheduled_is_cancelled_for_every_actor_and_never_runs(app: Callboard) -> None:
    seen = subscribe(app, "mail", "bill")
    receipt = app.publish(OrderPlaced("A-1"), after=DAY)
    changed = app.cancel(receipt.id, reason="the order was withdrawn")
    assert [(each.actor, each.became) for each in changed] == [("mail", "cancelled"), ("bill", "cancelled")]
    records = app.mailbox.ended("default")
    assert {(each.reason, each.detail) for each in records} == {("cancelled", "the order was withdrawn")}
    work_off(app)
    assert seen == []


def test_a_receipt_says_of_each_actor_what_became_of_its_delivery(app: Callboard) -> None:
    begun, go_on = threading.Event(), threading.Event()
    subscribe(app, "done", queue="quick")

    @app.actor(queue="slow")
    def running(event: OrderPlaced) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    @app.actor(queue="slow")
    def waiting(event: OrderPlaced) -> None: ...

    with working(app, threads=1):
        receipt = app.publish(OrderPlaced("A-1"))
        assert begun.wait(DEADLINE)
        app.mailbox.controls.pause("slow")
        until(lambda: queue_of(app, "quick").succeeded or queue_of(app, "quick").ready, "the quick one")
        changed = {each.actor: each.became.value for each in app.cancel(receipt)}
        go_on.set()
    assert changed["running"] == "running"
    assert set(changed) == {"done", "running", "waiting"}


def test_of_what_a_receipt_names_and_nobody_remembers_it_is_said_that_it_is_unknown() -> None:
    clock = VirtualClock()
    app = new_app(MemoryMailbox(clock=clock))
    subscribe(app, "mail")
    receipt = app.publish(OrderPlaced("A-1"))
    work_off(app)
    assert [each.became.value for each in app.cancel(receipt)] == ["done"]
    clock.advance(3 * 86_400_000)
    (changed,) = app.cancel(receipt)
    assert (changed.id, changed.became.value) == (f"mail:{receipt.id}", "unknown")


def test_an_event_whose_key_is_a_field_is_cancelled_by_its_receipt(app: Callboard) -> None:
    subscribe(app, "remind", to=Reminder)
    receipt = app.publish(Reminder("ann"), after="5 minutes")
    (changed,) = app.cancel(receipt)
    assert (changed.id, changed.became.value) == ("remind:ann", "cancelled")
    assert not app.publish(Reminder("ann"), after="5 minutes").deliveries[0].duplicate


def test_a_delivery_is_cancelled_by_its_own_id_and_the_others_are_not(app: Callboard) -> None:
    subscribe(app, "mail", "bill")
    receipt = app.publish(OrderPlaced("A-1"), after=DAY)
    (changed,) = app.cancel(f"bill:{receipt.id}")
    assert (changed.id, changed.became.value) == (f"bill:{receipt.id}", "cancelled")
    assert queue_of(app).scheduled == 1


def test_a_retry_that_waits_is_cancelled(app: Callboard) -> None:
    @app.actor(retry=Retry.every("1h"))
    def fails(event: OrderPlaced) -> None:
        raise ConnectionError("not now")

    with working(app):
        receipt = app.publish(OrderPlaced("A-1"))
        until(lambda: queue_of(app).scheduled, "the retry")
        assert [each.became.value for each in app.cancel(receipt)] == ["cancelled"]
    record = ended(app)
    assert (record.reason, record.history.attempts) == ("cancelled", 1)


@pytest.mark.parametrize(
    "after",
    ["2 hours", 7_200_000, timedelta(hours=2), datetime(2030, 1, 1, 2, tzinfo=UTC), "2030-01-01T02:00:00Z"],
    ids=["words", "milliseconds", "timedelta", "datetime", "text"],
)
def test_what_is_rescheduled_comes_at_its_new_time_and_not_before(
    after: str | int | timedelta | datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, start = new_app(), datetime(2030, 1, 1, tzinfo=UTC)
    seen = subscribe(app, "mail")
    with Stage(app, start=start) as stage:
        monkeypatch.setattr("callboard.messages.timing._clock", lambda _now: start)
        receipt = app.publish(OrderPlaced("A-1"), after="1 hour")
        assert [each.became.value for each in app.reschedule(receipt, after=after)] == ["moved"]
        stage.advance("119m")
        assert seen == []
        stage.advance("1m")
        assert len(seen) == 1


def test_a_retry_is_rescheduled_and_keeps_its_attempts() -> None:
    app = new_app()

    @app.actor(retry=Retry.every("1d"))
    def fails(event: OrderPlaced) -> None:
        raise ConnectionError("not now")

    with Stage(app, expect=ConnectionError) as stage:
        receipt = app.publish(OrderPlaced("A-1"))
        stage.run()
        assert [each.became.value for each in app.reschedule(receipt, after="1 minute")] == ["moved"]
        stage.advance("1m")
        assert len(stage.attempts) == 2


@pytest.mark.parametrize("after", [0, -1, "yesterday", timedelta(days=367), True])
def test_a_time_that_publish_would_not_take_is_refused_and_nothing_is_moved(after: object) -> None:
    app = new_app()
    subscribe(app, "mail")
    receipt = app.publish(OrderPlaced("A-1"), after=DAY)
    with pytest.raises(InvalidAfter):
        app.reschedule(receipt, after=after)  # type: ignore[arg-type]  # that is the test
    assert queue_of(app).scheduled == 1


def test_an_event_is_cancelled_by_its_id_alone_though_no_worker_ever_started(app: Callboard) -> None:
    subscribe(app, "mail")
    receipt = app.publish(OrderPlaced("A-1"), after=DAY)
    assert [(each.actor, each.became) for each in app.cancel(receipt.id)] == [("mail", "cancelled")]


def test_reschedule_and_cancel_of_nothing_say_so() -> None:
    app = new_app()
    assert [(each.id, each.became.value) for each in app.cancel("no-such-id")] == [("no-such-id", "unknown")]
    (changed,) = app.reschedule("no-such-id", after=1000)
    assert changed.became.value == "unknown"


@pytest.mark.parametrize("said", [None, 7, OrderPlaced("A-1")], ids=lambda each: type(each).__name__)
def test_what_tells_no_delivery_is_refused_with_what_would(app: Callboard, said: Any) -> None:
    for change in (app.cancel, lambda event: app.reschedule(event, after=DAY)):
        with pytest.raises(TypeError, match="give what publish answered, its id, or a delivery's id"):
            change(said)
