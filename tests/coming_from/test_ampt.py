"""What those know who come from Ampt's events."""

from datetime import UTC, datetime, timedelta

import pytest

from callboard import Context, Discard, Event, Retry
from callboard.messages.errors import InvalidActor, InvalidAfter, PayloadTooLarge, UnroutedEvent
from callboard.messages.event_options import Length
from callboard.testing import START, Stage
from tests.coming_from.shop import Failing, OrderPlaced, new_app


def test_a_handler_is_an_actor() -> None:
    app = new_app()
    welcomed: list[str] = []

    @app.actor
    def welcome(event: OrderPlaced) -> None:
        welcomed.append(event.order_id)

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.run()
    assert welcomed == ["A-1"]


def test_several_handlers_are_given_an_event_in_the_order_of_definition() -> None:
    app = new_app()

    @app.actor
    def second_in_the_alphabet(event: OrderPlaced) -> None: ...

    @app.actor
    def first_in_the_alphabet(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        receipt = app.publish(OrderPlaced("A-1"))
        stage.run()
        order = ["second_in_the_alphabet", "first_in_the_alphabet"]
        assert [delivery.actor for delivery in receipt.deliveries] == order
        assert [attempt.actor for attempt in stage.attempts] == order


def test_only_the_handler_that_failed_is_called_again() -> None:
    app = new_app(Retry.every("6m"))
    fail = Failing(times=1)

    @app.actor
    def well(event: OrderPlaced) -> None: ...

    @app.actor
    def ill(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
        assert stage.outcomes(well) == ["succeeded"]
        assert stage.outcomes(ill) == ["retried", "succeeded"]


@pytest.mark.parametrize(
    "after",
    [
        86_400_000,
        (START + timedelta(days=1)).timestamp() * 1000,
        "2030-01-02T00:00:00.000Z",
        START + timedelta(days=1),
        timedelta(days=1),
        "1 day",
        "1 days",
        "24 hours",
    ],
    ids=str,
)
def test_a_delay_is_said_in_any_of_its_forms(after: Length | datetime) -> None:
    app = new_app()

    @app.actor
    def remind(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"), after=after)
        stage.advance_to(datetime(2030, 1, 1, 23, 59, 59, tzinfo=UTC))
        assert stage.attempts == []
        stage.advance("1s")
        assert stage.outcomes() == ["succeeded"]


def test_a_delay_is_more_than_nothing_and_a_year_at_most() -> None:
    app = new_app()

    @app.actor
    def remind(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        for after in (0, "0 days", "367 days", "2 years"):
            with pytest.raises(InvalidAfter):
                app.publish(OrderPlaced("A-1"), after=after)
        app.publish(OrderPlaced("A-1"), after="1 year")
        (waits,) = stage.scheduled
        assert waits.due == datetime(2031, 1, 1, tzinfo=UTC)


def test_an_event_without_handlers_is_passed_over_unless_one_is_required() -> None:
    app = new_app()
    app.contract(OrderPlaced)
    with Stage(app) as stage:
        assert app.publish(OrderPlaced("A-1")).deliveries == ()
        assert stage.counts == {}
        with pytest.raises(UnroutedEvent):
            app.publish(OrderPlaced("A-1"), required=True)


def test_a_handler_knows_the_id_the_name_the_time_and_the_delay() -> None:
    app = new_app()
    told: list[tuple[str, str, datetime, timedelta]] = []

    @app.actor
    def remind(event: OrderPlaced, ctx: Context) -> None:
        told.append((ctx.id, ctx.name, ctx.time, ctx.delay))

    with Stage(app) as stage:
        receipt = app.publish(OrderPlaced("A-1"), after="5 minutes")
        stage.advance("1h")
    assert told == [(receipt.id, "order.placed", START, timedelta(minutes=5))]


def test_a_handler_knows_the_attempt_and_the_age() -> None:
    app = new_app(Retry.every("6m"))
    told: list[tuple[int, timedelta]] = []

    @app.actor
    def count(event: OrderPlaced, ctx: Context) -> None:
        told.append((ctx.attempt, ctx.age()))
        if ctx.attempt < 3:
            raise ConnectionError("no answer")

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("1h")
    assert told == [(1, timedelta(0)), (2, timedelta(minutes=6)), (3, timedelta(minutes=12))]


def test_a_failed_event_is_tried_every_six_minutes_for_14_days_and_then_dead() -> None:
    app = new_app(Retry.every("6m", give_up_after="14d"))
    fail = Failing()

    @app.actor
    def charge(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("15d")
        assert len(stage.attempts) == 14 * 24 * 10 + 1
        assert [dead.reason for dead in stage.dead] == ["max_age"]


def test_what_is_too_old_may_be_dropped_instead() -> None:
    app = new_app(Retry.every("6m"))
    fail = Failing()

    @app.actor(discard=Discard(max_age="14d"))
    def charge(event: OrderPlaced) -> None:
        fail()

    with Stage(app, expect=ConnectionError) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.advance("15d")
        assert stage.dead == []
        assert [end.reason for end in stage.discarded] == ["max_age"]


def test_a_handler_has_five_seconds_unless_said_and_a_minute_at_most() -> None:
    app = new_app()
    left: list[float] = []

    @app.actor
    def handle(event: OrderPlaced, ctx: Context) -> None:
        left.append(ctx.remaining().total_seconds())

    @app.actor(timeout="60s")
    def handle_slowly(event: OrderPlaced, ctx: Context) -> None:
        left.append(ctx.remaining().total_seconds())

    with pytest.raises(InvalidActor, match="at most 60 s"):
        app.actor(timeout="61s", name="never")(handle.original)
    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.run()
    assert 4 < left[0] <= 5
    assert 59 < left[1] <= 60


def test_a_handler_sets_its_own_timeout() -> None:
    app = new_app()
    left: list[timedelta] = []

    @app.actor
    def import_all(event: OrderPlaced, ctx: Context) -> None:
        ctx.set_timeout("50s")
        left.append(ctx.remaining())

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"))
        stage.run()
    assert timedelta(seconds=40) < left[0] <= timedelta(seconds=50)


def test_an_event_with_its_metadata_is_at_most_256_kb() -> None:
    app = new_app()

    class Noted(Event, name="noted"):
        text: str

    @app.actor
    def read(event: Noted) -> None: ...

    with Stage(app) as stage:
        app.publish(Noted("x" * 250_000))
        with pytest.raises(PayloadTooLarge):
            app.publish(Noted("x" * 262_144))
        stage.run()
        assert stage.outcomes() == ["succeeded"]


def test_a_duplicate_is_not_handled_twice() -> None:
    app = new_app()

    @app.actor
    def charge(event: OrderPlaced) -> None: ...

    with Stage(app) as stage:
        app.publish(OrderPlaced("A-1"), dedup_key="A-1")
        stage.run()
        again = app.publish(OrderPlaced("A-1"), dedup_key="A-1")
        stage.run()
        assert again.deliveries[0].duplicate
        assert stage.outcomes() == ["succeeded"]
