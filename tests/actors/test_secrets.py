"""What is in a body is written nowhere but in the mailbox."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
import structlog

from callboard import (
    Batch,
    BatchContext,
    Callboard,
    Context,
    DiscardEvent,
    Event,
    RejectEvent,
    Retry,
    RetryLater,
    Sensitive,
)
from tests.actors.rehearsal import AT_ONCE, Witness, body_of, post, work_off

SECRET = "s3cr3t-horse-battery"  # noqa: S105 - planted, to be looked for


class Login(Event, name="user.logged-in"):
    password: str
    note: str = ""


class Card(Event, name="card.given"):
    number: Annotated[str, Sensitive]
    how: str = ""
    parts: list[Annotated[str, Sensitive]] = []


@pytest.fixture
def everything_written(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that is logged from here on, by structlog and by logging, at every level."""
    lines: list[str] = []
    before = structlog.get_config()

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        lines.append(repr(event) + "".join(str(value) for value in event.values()))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, keep])
    caplog.set_level(logging.DEBUG)
    logging.getLogger("dramatiq").setLevel(logging.DEBUG)
    yield lambda: "\n".join([*lines, caplog.text, *(repr(record.__dict__) for record in caplog.records)])
    logging.getLogger("dramatiq").setLevel(logging.NOTSET)
    structlog.configure(**before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_async", [False, True])
def test_a_secret_in_a_body_is_written_nowhere(
    app: Callboard, everything_written: Callable[[], str], is_async: bool
) -> None:
    app.broker.add_middleware(Witness())
    shown: list[str] = []

    def fate(event: Login, ctx: Context) -> None:
        shown.extend((repr(event), str(event), repr(ctx), repr(ctx._attempt.delivery), repr(ctx._attempt)))
        shown.append(repr(ctx._attempt.envelope))
        ctx.logger.debug("handling")
        match event.note, ctx.attempt:
            case "reject", _:
                raise RejectEvent("unwanted")
            case "later", 1:
                raise RetryLater(timedelta(milliseconds=1))
            case "fail", _:
                raise ValueError("no")

    async def afate(event: Login, ctx: Context) -> None:
        fate(event, ctx)

    app.actor(name="fate", retry=AT_ONCE)(afate if is_async else fate)
    for note in ("", "reject", "later", "fail"):
        app.publish(Login(SECRET, note))
    valid = body_of(Login(SECRET))
    for broken in (valid[:-9], valid.replace(b'"note":""', b'"note":7'), b'{"x":"%s"}' % SECRET.encode()):
        post(app, broken, "fate", "user.logged-in")
    post(app, valid, "nobody", "user.logged-in")
    post(app, valid.replace(b"user.logged-in", b"user.logged-out"), "fate")
    app.publish(Login(SECRET), dedup_key="k")
    with pytest.raises(Exception, match="payload_conflict") as conflict:
        app.publish(Login(SECRET + "x"), dedup_key="k")
    work_off(app)
    assert SECRET not in str(conflict.value)
    assert len(app.mailbox.ended("default")) == 7
    assert "handling" in everything_written()
    assert SECRET not in everything_written()
    assert SECRET not in "".join(shown)
    for record in app.mailbox.ended("default"):
        assert SECRET not in (record.detail or "")


def test_a_secret_in_a_body_is_in_no_repr_of_what_carries_it(memory_app: Callboard) -> None:
    @memory_app.actor
    def handler(event: Login) -> None:
        raise RejectEvent("unwanted")

    prepared = memory_app.publisher.prepare(Login(SECRET))
    memory_app.publish(Login(SECRET))
    work_off(memory_app)
    carriers = [prepared, memory_app.publisher.routed(prepared), memory_app.mailbox.ended("default")[0]]
    assert [type(each).__name__ for each in carriers if SECRET in repr(each)] == []


RAISED: dict[str, Callable[[Card], Exception]] = {
    "raise": lambda event: ValueError(f"no such card: {event.number}, {event.parts}"),
    "key": lambda event: KeyError(event.number),
    "long": lambda event: ValueError("x" * 490 + event.number),
    "reject": lambda event: RejectEvent(f"refused {event.number}"),
    "discard": lambda event: DiscardEvent(f"not {event.number}"),
    "url": lambda _: ConnectionError(f"redis://shop:{SECRET}@db:6379 is away"),
}
"""What handlers raise that tells a secret."""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_async", [False, True])
def test_a_sensitive_value_that_an_exception_tells_is_in_no_record(app: Callboard, is_async: bool) -> None:
    def fate(event: Card, ctx: Context) -> None:
        if event.how in RAISED:
            raise RAISED[event.how](event)
        for item in ctx.items(["a"]):
            with item:
                raise ValueError(f"item of {event.number}")

    async def afate(event: Card, ctx: Context) -> None:
        if event.how in RAISED:
            raise RAISED[event.how](event)
        async for item in ctx.items(["a"]):
            async with item:
                raise ValueError(f"item of {event.number}")

    app.actor(name="fate", retry=AT_ONCE)(afate if is_async else fate)
    for how in (*RAISED, "items"):
        app.publish(Card(SECRET, how, [SECRET[::-1]]))
    work_off(app)
    records = app.mailbox.ended("default")
    assert len(records) == len(RAISED) + 1
    told = [f"{each.detail} {each.history.first_error} {each.history.last_error}" for each in records]
    told += [str([item.error for item in app.mailbox.ledger.of_ended(each.id)]) for each in records]
    assert [text for text in told if any(part in text for part in (SECRET, SECRET[::-1], SECRET[:8]))] == []
    assert sum("***" in text for text in told) >= len(records)


def test_what_is_said_of_one_event_of_a_batch_shows_no_sensitive_value_of_another(app: Callboard) -> None:
    others = "t1ck3t-sheep-capacitor"

    @app.actor(batch=Batch(size=4, wait="1s"), retry=Retry.never())
    def store(events: list[Card], ctx: BatchContext) -> None:
        told = ValueError(f"cannot store {[event.number for event in events]}")
        if len(events) > 2:
            ctx.fail(events[0], told)
            ctx.reject(events[1], str(told))
        raise told

    app.publish_many([Card(number) for number in (SECRET, others, SECRET, others)])
    work_off(app)
    records = app.mailbox.ended("default")
    assert len(records) == 4
    told = [f"{each.detail} {each.history.first_error} {each.history.last_error}" for each in records]
    assert [text for text in told if SECRET in text or others in text] == []
    assert all("***" in text for text in told)
