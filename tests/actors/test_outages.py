"""Invariants I5 and I7 for the mailbox: whatever its server fails with, no handler runs that should not, and
no end of an attempt is lost."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from callboard import Callboard, Context, RejectEvent
from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.rehearsal import AT_ONCE, OrderPlaced, is_at_rest, new_app, queue_of, until, working
from tests.outages import IMPATIENT, OUTAGES, Ailing, Outage, errors_of
from tests.servers import Kind

WORKED_OFF = ("oom", "noscript")
"""What keeps no worker from its work: a full server is drained, a forgotten script is sent again."""

LOST = [how for how in OUTAGES if how not in WORKED_OFF]


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ailing]:
    """A server for this test alone."""
    kind: Kind = request.param
    made = Ailing(kind, tmp_path)
    yield made
    made.close()


@contextmanager
def met_by(outage: Outage, lease: str) -> Iterator[tuple[Callboard, list[Any]]]:
    """An app whose mailbox soon says that it fails, and what is logged meanwhile."""
    made = RedisMailbox(outage.url, socket_timeout=IMPATIENT, patience=0.0)
    with closing(made) as mailbox, capture_logs() as logs:
        yield new_app(mailbox, lease=lease), logs


@pytest.mark.parametrize("how", LOST)
def test_no_handler_runs_while_the_mailbox_is_lost_and_each_runs_afterwards(server: Ailing, how: str) -> None:
    outage = Outage(server, how)
    with met_by(outage, lease="300 ms") as (app, logs):
        seen: list[str] = []

        @app.actor
        def handler(event: OrderPlaced) -> None:
            seen.append(event.order_id)

        with working(app):
            app.publish(OrderPlaced("A"), after=100)
            due_at = time.monotonic() + 0.1
            outage.begin()
            until(lambda: time.monotonic() > due_at, "the moment it is due")
            told = len(logs)
            until(lambda: outage.met(errors_of("cannot fetch", logs[told:])), "a fetch that fails")
            assert seen == []
            outage.end()
            until(lambda: queue_of(app).succeeded, "the handler")
    assert seen == ["A"]


@pytest.mark.parametrize("how", OUTAGES)
@pytest.mark.parametrize("end", ["retried", "dead"])
def test_an_end_that_cannot_be_written_is_written_when_the_server_is_well(
    server: Ailing, how: str, end: str
) -> None:
    outage = Outage(server, how)
    with met_by(outage, lease="20 s") as (app, logs):
        attempts: list[int] = []

        @app.actor(retry=AT_ONCE)
        def handler(event: OrderPlaced, ctx: Context) -> None:
            attempts.append(ctx.attempt)
            if ctx.attempt == 1:
                outage.begin()
                raise RejectEvent("no") if end == "dead" else ConnectionError("not now")

        with working(app):
            app.publish(OrderPlaced("A"))
            if how in WORKED_OFF:
                until(lambda: attempts and is_at_rest(app), "rest while it lasts")
            else:
                until(lambda: outage.met(errors_of("settlements wait", logs)), "a settlement that fails")
            outage.end()
            until(lambda: is_at_rest(app), "rest")
            queue = queue_of(app)
    if end == "dead":
        assert (attempts, queue.dead, queue.succeeded) == ([1], 1, 0)
    else:
        assert (attempts, queue.retried, queue.succeeded) == ([1, 2], 1, 1)
    assert (queue.accepted, queue.takeovers) == (1, 0)
