"""A stage borrows an app: what it puts in place of mailbox, clock and resources is gone when it ends."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from msgspec.structs import replace

from callboard import Callboard, Context, DiscardEvent, MemoryMailbox, RejectEvent, Retry
from callboard.actors.mailbox.infos import NO_DEAD_LETTERS, QueueInfo
from callboard.messages.errors import CallboardError, ConfigurationError
from callboard.testing import Stage
from tests.actors.rehearsal import work_off, working
from tests.front.stages import Mailer, OrderPlaced, OrderShipped, new_app, staged


def test_the_app_is_as_it_was_when_the_stage_ends() -> None:
    mailbox = MemoryMailbox()
    app = Callboard("shop", mailbox=mailbox)

    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    app.publish(OrderPlaced("before"))
    with Stage(app) as stage:
        assert app.mailbox is not mailbox
        app.publish(OrderPlaced("A"))
        stage.run()
    assert app.mailbox is mailbox
    assert app.publisher.clock is None
    app.publish(OrderPlaced("after"), after="1 hour")
    (queue,) = mailbox.info().queues
    assert (queue.ready, queue.scheduled, queue.accepted) == (1, 1, 2)
    # What happened on the stage can still be looked at.
    assert stage.published == [OrderPlaced("A")]
    assert stage.counts["succeeded"] == 1


def test_a_test_that_fails_leaves_the_app_as_it_was_too() -> None:
    mailbox = MemoryMailbox()
    app = Callboard("shop", mailbox=mailbox)
    with pytest.raises(ZeroDivisionError), Stage(app):
        raise ZeroDivisionError
    assert app.mailbox is mailbox


def test_each_stage_of_an_app_begins_empty() -> None:
    app = new_app()

    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    for _ in range(2):
        with Stage(app) as stage:
            app.publish(OrderPlaced("A"), dedup_key="the same")
            stage.run()
            assert stage.outcomes() == ["succeeded"]


def test_an_app_whose_worker_runs_is_not_borrowed() -> None:
    app = Callboard("shop", mailbox=MemoryMailbox())
    with working(app, threads=1):
        with pytest.raises(ConfigurationError, match="stop it first"), Stage(app):
            pass
        assert isinstance(app.mailbox, MemoryMailbox)


def test_a_stage_that_is_not_set_says_how_it_is() -> None:
    stage = Stage(new_app())
    with pytest.raises(CallboardError, match=r"with Stage\(app\)"):
        stage.run()
    with pytest.raises(CallboardError, match=r"with Stage\(app\)"):
        stage.provide(Mailer, Mailer())


def test_a_stage_is_set_once() -> None:
    with staged() as (_, stage), pytest.raises(CallboardError, match="make another"), stage:
        pass
    with pytest.raises(CallboardError, match="make another"), stage:
        pass


def test_stages_of_two_apps_stand_side_by_side_and_one_of_the_same_app_within_another() -> None:
    app = new_app()

    @app.actor
    def handler(event: OrderPlaced) -> None: ...

    with Stage(app) as outer, staged() as (other, beside):
        app.publish(OrderPlaced("A"))
        other.publish(OrderPlaced("B"))
        with Stage(app) as inner:
            app.publish(OrderPlaced("C"))
            inner.run()
        outer.run()
        assert [each.published for each in (outer, beside, inner)] == [
            [OrderPlaced("A")],
            [OrderPlaced("B")],
            [OrderPlaced("C")],
        ]
        assert outer.outcomes() == inner.outcomes() == ["succeeded"]


def declare_all_sorts(app: Callboard) -> None:
    """Actors whose deliveries come to every end that a handler can bring about."""

    @app.actor
    def ship(event: OrderPlaced, ctx: Context) -> None:
        ctx.publish(OrderShipped(event.order_id))

    @app.actor(retry=Retry.every("1ms", max_attempts=3))
    def stumble(event: OrderPlaced) -> None:
        raise ConnectionError("down")

    @app.actor
    async def refuse(event: OrderPlaced) -> None:
        raise RejectEvent("no")

    @app.actor(queue="other")
    def drop(event: OrderShipped) -> None:
        raise DiscardEvent("not ours")


def test_a_stage_leaves_in_the_mailbox_what_a_worker_leaves() -> None:
    worked, staged_app = Callboard("shop", mailbox=MemoryMailbox()), new_app()
    declare_all_sorts(worked)
    worked.publish_many([OrderPlaced("A"), OrderPlaced("B")])
    work_off(worked)
    declare_all_sorts(staged_app)
    with Stage(staged_app, expect=ConnectionError) as stage:
        staged_app.publish_many([OrderPlaced("A"), OrderPlaced("B")])
        stage.advance("1s")
        assert counted(staged_app) == counted(worked)
        assert ends_in(staged_app) == ends_in(worked)


def counted(app: Callboard) -> list[tuple[QueueInfo, int]]:
    """What queues hold and did, without the moments, by which a stage and a worker differ."""
    queues = app.mailbox.info().queues
    return [(replace(each, dead_letters=NO_DEAD_LETTERS), each.dead_letters.count) for each in queues]


def ends_in(app: Callboard) -> list[tuple[object, ...]]:
    """The records of all that ended, without what differs from run to run."""
    records = [record for queue in ("default", "other") for record in app.mailbox.ended(queue)]
    return sorted(
        (
            record.id.partition(":")[0],
            record.kind,
            record.reason,
            record.detail,
            record.history.attempts,
            record.history.last_error.message if record.history.last_error else None,
        )
        for record in records
    )


# Resources.


def test_a_resource_is_replaced_for_a_test_and_not_closed_by_the_stage() -> None:
    app = new_app()
    app.provide(Mailer, lambda: pytest.fail("the real one is not wanted"))

    @app.actor
    def send(event: OrderPlaced, ctx: Context, mailer: Mailer) -> None:
        mailer.sent.append(event.order_id)

    mailer = Mailer()
    with Stage(app) as stage:
        stage.provide(Mailer, mailer)
        app.publish(OrderPlaced("A"))
        stage.run()
    assert (mailer.sent, mailer.closed) == (["A"], 0)
    with pytest.raises(pytest.fail.Exception):
        app.resources.get(Mailer)


def test_what_the_app_makes_in_a_test_is_closed_with_it_and_what_it_had_stays() -> None:
    made: list[Mailer] = []

    @contextmanager
    def mailer() -> Iterator[Mailer]:
        with closing(Mailer()) as one:
            made.append(one)
            yield one

    app = new_app()
    app.provide(Mailer, mailer)
    before = app.resources.get(Mailer)

    @app.actor
    def send(event: OrderPlaced, ctx: Context, mailer: Mailer) -> None:
        mailer.sent.append(event.order_id)

    with Stage(app) as stage:
        app.publish(OrderPlaced("A"))
        stage.run()
    assert [(each.sent, each.closed) for each in made] == [([], 0), (["A"], 1)]
    assert app.resources.get(Mailer) is before
    app.resources.close()
    assert before.closed == 1


def test_a_class_in_place_of_an_object_is_refused() -> None:
    with staged() as (_, stage), pytest.raises(CallboardError, match=r"Mailer\(\)"):
        stage.provide(Mailer, Mailer)


# What a failure shows.


def test_the_reprs_tell_what_happened() -> None:
    with staged(expect=ConnectionError) as (app, stage):

        @app.actor
        def send(event: OrderPlaced, ctx: Context) -> None:
            if ctx.attempt == 1:
                raise ConnectionError("down")

        assert repr(stage) == "<Stage of shop at 2030-01-01 00:00:00: nothing happened>"
        app.publish(OrderPlaced("A"))
        stage.run()
        assert stage.story().splitlines() == [
            (
                "<attempt 1 of send at 2030-01-01 00:00:00: retried in 0:00:01 after "
                "ConnectionError('down'), OrderPlaced(order_id='A')>"
            ),
            "<attempt 2 of send due 2030-01-01 00:00:01, OrderPlaced(order_id='A')>",
        ]
        assert repr(stage) == "<Stage of shop at 2030-01-01 00:00:00: accepted=1 retried=1 scheduled=1>"
        stage.crash(send)
        stage.advance("1s")
        assert repr(stage.attempts[-1]) == (
            "<attempt 2 of send at 2030-01-01 00:00:01: worker lost, OrderPlaced(order_id='A')>"
        )


def test_the_repr_of_a_dead_delivery_tells_why() -> None:
    with staged(expect=ConnectionError) as (app, stage):

        @app.actor(retry=Retry.never())
        def send(event: OrderPlaced) -> None:
            raise ConnectionError("down")

        app.publish(OrderPlaced("A"))
        stage.run()
        assert repr(stage.dead) == (
            "[<dead (max_attempts): send at 2030-01-01 00:00:00 attempts=1, ConnectionError: down, "
            "OrderPlaced(order_id='A')>]"
        )
