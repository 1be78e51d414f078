"""Signals that a handler raises, and strange exceptions: each means what it says, for its delivery alone."""

from datetime import timedelta
from itertools import count

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, DiscardEvent, RejectEvent, Retry, RetryLater
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import OutcomeKind, Reason
from tests.actors.rehearsal import (
    AT_ONCE,
    OrderPlaced,
    ended,
    is_at_rest,
    new_app,
    queue_of,
    taken,
    until,
    work_off,
    working,
)

_ids = count(1)


def test_retry_later_waits_as_long_as_the_handler_asks(app: Callboard) -> None:
    @app.actor
    def handler(event: OrderPlaced, ctx: Context) -> None:
        raise RetryLater("1 hour", "the partner sleeps")

    app.publish(OrderPlaced("A"))
    with working(app):
        until(lambda: queue_of(app).retried, "the retry")
    assert queue_of(app).scheduled == 1
    fetched = taken(app, 1)
    assert fetched.deliveries == []
    assert fetched.next_in_ms is not None
    assert 3_500_000 < fetched.next_in_ms <= 3_600_000


def test_retry_later_counts_as_an_attempt(app: Callboard) -> None:
    @app.actor(retry=Retry.every("1h", max_attempts=3, on=()))
    def handler(event: OrderPlaced) -> None:
        raise RetryLater(timedelta(milliseconds=1))

    app.publish(OrderPlaced("A"))
    work_off(app)
    assert (ended(app).reason, ended(app).history.attempts) == (Reason.MAX_ATTEMPTS, 3)


@pytest.mark.parametrize(
    ("signal", "kind"),
    [(DiscardEvent("sold out"), OutcomeKind.DISCARDED), (RejectEvent("sold out"), OutcomeKind.DEAD)],
)
def test_a_signal_ends_the_delivery_at_once_and_keeps_the_words(
    app: Callboard, signal: Exception, kind: OutcomeKind
) -> None:
    @app.actor(retry=Retry.every("1h"))
    def handler(event: OrderPlaced) -> None:
        raise signal

    app.publish(OrderPlaced("A"))
    work_off(app)
    record = ended(app)
    assert (record.kind, record.reason, record.detail) == (kind, Reason.REJECTED, "sold out")
    assert record.history.attempts == 1


def test_a_retry_later_that_cannot_be_read_keeps_to_the_limits(memory_app: Callboard) -> None:
    starts: list[int] = []

    @memory_app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, ctx: Context) -> None:
        starts.append(ctx.attempt)
        if ctx.attempt > 20:
            raise RejectEvent("this must end")
        raise RetryLater("soon")

    memory_app.publish(OrderPlaced("A"))
    with capture_logs():
        work_off(memory_app)
    assert len(starts) == 3


class Speechless(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


STRANGE = {
    "an exception without words": Speechless(),
    "an error that is no valid Unicode": ValueError("\ud800"),
    "words that are no valid Unicode": RejectEvent("\ud800"),
    "words that are no text": RejectEvent(ValueError("no")),  # type: ignore[arg-type]  # a handler's mistake
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_exception_hurts_only_its_own_delivery(server_url: str, what: str) -> None:
    app = new_app(RedisMailbox(server_url, workspace=f"strange-{next(_ids)}"))

    @app.actor(retry=Retry.never())
    def handler(event: OrderPlaced) -> None:
        if event.order_id == "bad":
            raise STRANGE[what]

    app.publish_many([OrderPlaced("bad"), OrderPlaced("good")])
    try:
        with working(app, threads=1):
            until(lambda: is_at_rest(app), "rest", within=2)
        assert (queue_of(app).dead, queue_of(app).succeeded) == (1, 1)
    finally:
        app.close()
