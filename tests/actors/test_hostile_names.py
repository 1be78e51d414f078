"""A hundred thousand deliveries with hostile names, written raw into a mailbox, make no series."""

import logging
import re
from collections.abc import Iterator
from itertools import islice

import msgspec
import pytest
import structlog

from callboard import Callboard, Context, Event, Retry
from callboard.actors.mailbox.mailbox import Posting, Target
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.observability.collector import Collector
from callboard.observability.exposition import exposition
from callboard.observability.metrics import ENDED, ERRORS, OTHER, OVERFLOW, STORE_SECONDS
from callboard.observability.names import MOST_ERRORS
from callboard.observability.queues import MOST_QUEUES
from tests.actors.rehearsal import body_of, new_app, queue_of, until, working
from tests.actors.test_metrics import series

DELIVERIES = 100_000
EACH_TIME = 1000

NASTY = ('"} 1\n#', "#\\", "#\x00\r\n", "café # ☃ \u202e", "x" * 300 + "#", "{#}", "#,le=")
"""What would end a label or a line, or be no name at all."""


class Case(Event, name="case", key="number"):
    """Says what its handler shall do."""

    number: int
    does: str = ""


def nasty(number: int) -> str:
    return NASTY[number % len(NASTY)].replace("#", str(number))


def hostile_postings(started: int) -> Iterator[Posting]:
    """Deliveries without end: by turns their contract, actor, error or queue has a name of its own."""
    fails = body_of(Case(1, "fail"))
    fine = body_of(Case(2))
    envelope = msgspec.json.decode(fine)
    number = started
    while True:
        number += 1
        name, id_ = nasty(number), f"hostile-{number}"
        strange = msgspec.json.encode(envelope | {"type": name, "id": id_})
        cases = (
            (name, strange, "handler", "default"),
            ("case", fine, name, "default"),
            ("case", fails, "handler", "default"),
            ("case", fails, "handler", "default"),
            ("case", fine, "handler", name),
        )
        for case, (event, body, actor, queue) in enumerate(cases):
            target = Target(actor, queue, f"{id_}-{case}", 0)
            yield Posting(event, body, b"0" * 16, (target,))


def attack(app: Callboard, count: int, started: int) -> None:
    """Write so many deliveries, and have it told that as many workers as calls are there."""
    postings = hostile_postings(started)
    for call in range(0, count, EACH_TIME):
        some = list(islice(postings, min(EACH_TIME, count - call)))
        app.mailbox.publish(some)
        app.mailbox.heartbeat(nasty(started + call), ["default", nasty(call)])


class Gauges:
    """The app's mailbox, to be read by a collector."""

    def __init__(self, app: Callboard) -> None:
        self.read = app.mailbox.gauges.read

    def close(self) -> None:
        """Leave it open."""


def scrape(app: Callboard, collector: Collector) -> set[str]:
    """All series that whoever scrapes is shown."""
    told = exposition(app.metrics.cells.total(), collector.values(), "callboard", openmetrics=False)
    found = set(re.findall(r"^(callboard_\w+(?:\{.*\})?) \S+$", told.decode(), re.MULTILINE))
    # A busy worker gives back what it has not started, now and then, whatever its names are.
    return {each for each in found if 'outcome="released"' not in each}


def declare(app: Callboard) -> None:
    """A handler that fails with a class of errors of its own each time, and does all that leaves a series."""
    failures = iter(range(10 * DELIVERIES))

    @app.actor(name="handler", retry=Retry.never())
    def handler(event: Case, ctx: Context) -> None:
        if event.does == "renew":
            until(lambda: has_renewed(app), "a renewal of what runs")
        if event.does == "fail":
            number = next(failures)
            name = f"Error{number}" if number < 2 * MOST_ERRORS else nasty(number)
            raise type(name.replace("\x00", ""), (Exception,), {})(name)


def has_renewed(app: Callboard) -> bool:
    return ("mailbox", "renew") in app.metrics.cells.total().histograms.get(STORE_SECONDS.name, {})


def is_worked_off(app: Callboard) -> bool:
    return not queue_of(app).live


@pytest.fixture
def hostile_app(server_url: str) -> Iterator[Callboard]:
    """An app on a workspace of its own, which many strangers write into."""
    mailbox = RedisMailbox(server_url, workspace="hostile")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield new_app(mailbox, lease="6s")  # longer than a busy machine may hold it up
    structlog.reset_defaults()
    mailbox.close()


@pytest.mark.timeout(420)
@pytest.mark.usefixtures("impatient")
def test_a_hundred_thousand_deliveries_with_hostile_names_make_no_series(hostile_app: Callboard) -> None:
    app = hostile_app
    declare(app)
    collector = Collector(lambda: Gauges(app), "1")
    with working(app):
        app.publish(Case(0, "renew"))
        attack(app, 6 * MOST_QUEUES, 0)
        until(lambda: is_worked_off(app), "what has every series there", within=60)
        before = scrape(app, collector)
        attack(app, DELIVERIES, DELIVERIES)
        until(lambda: is_worked_off(app), "what would make more of them", within=300)
        assert scrape(app, collector) == before
    fifth = (6 * MOST_QUEUES + DELIVERIES) // 5
    assert series(app, ENDED, "actor", "event", "reason") == {
        ("handler", "case", ""): 1,
        ("handler", "case", "max_attempts"): 2 * fifth,
        ("handler", OTHER, "unknown_contract"): fifth,
        (OTHER, "case", "unknown_actor"): fifth,
    }
    told_apart = [f"Error{each}" for each in range(MOST_ERRORS - 1)]
    assert set(series(app, ERRORS, "error")) == {OTHER, "unknown_contract", *told_apart}
    assert series(app, OVERFLOW, "label") == {
        "event": fifth,
        "actor": fifth,
        "error": 2 * fifth - len(told_apart),
    }
