"""Invariant I7 for a dedup store: whatever its server fails with, a failure is not remembered as done."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from callboard import RejectEvent
from callboard.messages.delivery import SUCCEEDED, OutcomeKind
from callboard.middleware.attempt import Attempt
from callboard.middleware.dedup.layer import Deduplicate
from callboard.middleware.dedup.option import Dedup
from callboard.middleware.dedup.redis import RedisDedupStore
from tests.middleware.dedup.attempts import attempt, perform
from tests.outages import IMPATIENT, OUTAGES, Ailing, Outage, errors_of
from tests.servers import Kind

PATIENCE = 20.0

WRITTEN = ("oom", "noscript")
"""What keeps no end from being written."""


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ailing]:
    """A server for this test alone."""
    kind: Kind = request.param
    made = Ailing(kind, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("how", OUTAGES)
@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConnectionError("not now"), OutcomeKind.RETRIED), (RejectEvent("no"), OutcomeKind.DEAD)],
    ids=["retried", "dead"],
)
def test_a_failure_that_the_store_could_not_be_told_of_is_followed_by_another_attempt(
    server: Ailing, how: str, error: Exception, kind: OutcomeKind
) -> None:
    outage, layer = Outage(server, how), Deduplicate()

    def failing(_: Attempt) -> None:
        outage.begin()
        raise error

    with closing(RedisDedupStore(outage.url, socket_timeout=IMPATIENT)) as store:
        said = Dedup(store=store, lease="60s")
        with capture_logs() as logs:
            assert perform(layer, attempt(said), failing).kind is kind
        told = errors_of("the dedup store could not be told yet", logs)
        assert told == [] if how in WRITTEN else outage.met(told)
        outage.end()
        give_up_at = time.monotonic() + PATIENCE
        while (outcome := perform(layer, attempt(said))).kind is OutcomeKind.RELEASED:
            assert time.monotonic() < give_up_at, "the claim was not let go"
            time.sleep(0.005)
        assert outcome == SUCCEEDED
        layer.close(PATIENCE)
