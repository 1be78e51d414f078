"""What a handler raises ends the run on a stage, unless the test said that it expects it."""

import pytest

from callboard import DiscardEvent, RejectEvent, Retry
from callboard.actors.mailbox.mailbox import Posting, Target
from tests.front.stages import OrderPlaced, staged


def test_an_error_that_was_not_expected_is_raised_where_it_happened() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None:
            raise LookupError("no such order")

        app.publish(OrderPlaced("A"))
        with pytest.raises(LookupError, match="no such order") as raised:
            stage.run()
        assert "handler" in [frame.name for frame in raised.traceback]
        assert "stage.expect(LookupError)" in raised.value.__notes__[0]
        # It was settled all the same.
        assert stage.outcomes() == ["retried"]
        assert stage.attempts[0].error is raised.value


def test_an_expected_error_is_an_outcome() -> None:
    with staged() as (app, stage):

        @app.actor(retry=Retry.never())
        def handler(event: OrderPlaced) -> None:
            raise LookupError("no such order")

        stage.expect(LookupError)
        app.publish(OrderPlaced("A"))
        (made,) = stage.run()
        assert (made.outcome, made.reason) == ("dead", "max_attempts")
        assert repr(made.error) == "LookupError('no such order')"
        (dead,) = stage.dead
        assert (dead.event, dead.actor, dead.reason, dead.attempts) == (
            OrderPlaced("A"),
            "handler",
            "max_attempts",
            1,
        )
        assert dead.error is not None
        assert dead.error.message == "no such order"


def test_what_was_expected_hides_nothing_else() -> None:
    with staged(expect=LookupError) as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None:
            raise TypeError("a fault of the handler")

        app.publish(OrderPlaced("A"))
        with pytest.raises(TypeError):
            stage.run()


def test_an_interrupt_inside_a_handler_ends_the_test() -> None:
    with staged(expect=Exception) as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None:
            raise KeyboardInterrupt

        app.publish(OrderPlaced("A"))
        with pytest.raises(KeyboardInterrupt):
            stage.run()


def test_signals_are_no_errors() -> None:
    with staged() as (app, stage):

        @app.actor
        def drop(event: OrderPlaced) -> None:
            raise DiscardEvent("not ours")

        @app.actor
        def refuse(event: OrderPlaced) -> None:
            raise RejectEvent("the bank says no")

        app.publish(OrderPlaced("A"))
        stage.run()
        assert [(each.actor, each.reason, each.detail) for each in stage.discarded] == [
            ("drop", "rejected", "not ours")
        ]
        assert [(each.actor, each.reason, each.detail) for each in stage.dead] == [
            ("refuse", "rejected", "the bank says no")
        ]


def test_a_body_that_cannot_be_read_is_seen() -> None:
    with staged() as (app, stage):

        @app.actor
        def handler(event: OrderPlaced) -> None: ...

        target = Target("handler", "default", "k", 1000)
        app.mailbox.publish([Posting("order.placed", b"{", b"0" * 16, (target,))])
        (made,) = stage.run()
        assert (made.event, made.outcome, made.reason, made.error) == (None, "dead", "invalid_body", None)
        assert stage.dead[0].event is None
