"""The webhooks example: each delivery id has one effect, however often and in whatever order it comes."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
import structlog

from callboard import Context, Event
from callboard.actors.embedded import EmbeddedServer
from callboard.actors.mailbox.redis import RedisMailbox
from examples.webhooks import app as application
from examples.webhooks.contracts import IssueChanged, OtherWebhook
from examples.webhooks.digest import Digest, Row
from examples.webhooks.ingest import Webhook, read_webhooks, to_event
from examples.webhooks.show import cells

ROOT = Path(__file__).parents[2]
DATA = ROOT / "examples" / "webhooks" / "data" / "github-webhooks.jsonl.gz"
IDS = 208


@pytest.fixture(scope="module")
def webhooks() -> list[Webhook]:
    """The payloads, in the file's order."""
    return list(read_webhooks(DATA))


@pytest.fixture
def digest(tmp_path: Path) -> Iterator[Digest]:
    """An empty digest."""
    with closing(Digest(tmp_path / "digest.sqlite")) as made:
        yield made


class Start:
    """What a handler asks of its context."""

    def __init__(self, event: Event, delivery: str, fence: int) -> None:
        self.name = type(event).__contract__.name
        self.attributes = {application.DELIVERY: delivery}
        self.fence = fence
        self.logger = structlog.get_logger("test")


def handle(digest: Digest, webhook: Webhook, fence: int) -> None:
    """Start the handler of a webhook, as a worker would."""
    event = to_event(webhook)
    subscribed = [a for a in application.app.actors.values() if type(event) in a.wanted.events]
    assert len(subscribed) == 1
    subscribed[0](event, cast("Context", Start(event, webhook.delivery, fence)), digest)


def digest_of(webhooks: Sequence[Webhook], path: Path) -> list[Row]:
    """The digest when they arrive in this order."""
    with closing(Digest(path)) as digest:
        for fence, webhook in enumerate(webhooks, 1):
            handle(digest, webhook, fence)
        return digest.rows()


def test_every_payload_can_be_read_by_its_contract(webhooks: list[Webhook]) -> None:
    events = [to_event(webhook) for webhook in webhooks]
    assert len(events) == IDS
    assert sum(isinstance(event, IssueChanged) for event in events) == 19
    others = {event.event for event in events if isinstance(event, OtherWebhook)}
    assert len(others) == 53 - 6


def test_a_handler_that_starts_twice_has_one_effect(webhooks: list[Webhook], digest: Digest) -> None:
    for fence in (1, 2):
        for webhook in webhooks[:5]:
            handle(digest, webhook, fence)
    assert digest.effects() == 5
    assert sum(row.webhooks for row in digest.rows()) == 5


def test_the_digest_is_the_same_whatever_the_order_of_arrival(
    webhooks: list[Webhook], tmp_path: Path
) -> None:
    shuffled = random.Random(3).sample(webhooks, k=len(webhooks))  # noqa: S311 - an order, not a secret
    in_order = digest_of(webhooks, tmp_path / "a.sqlite")
    assert digest_of(webhooks[::-1], tmp_path / "b.sqlite") == in_order
    assert digest_of(shuffled, tmp_path / "c.sqlite") == in_order


def test_the_digest_shows_the_latest_word_on_each_subject(webhooks: list[Webhook], tmp_path: Path) -> None:
    busiest = digest_of(webhooks, tmp_path / "digest.sqlite")[0]
    assert (busiest.repository, busiest.webhooks) == ("Codertocat/Hello-World", 150)
    assert busiest.states["issue open"] == busiest.states["issue deleted"] == 1
    assert busiest.states["pull open"] == 1
    assert busiest.states["release deleted"] == 1
    assert cells(busiest) == ("Codertocat/Hello-World", "150", "1 (1 bug)", "1", "", "2021-12-16")


def test_two_workers_give_each_delivery_id_one_effect_though_each_comes_three_times(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.webhooks", "--home", str(tmp_path), "--seed", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    workers = (tmp_path / "workers.log").read_text("utf-8")
    assert done.returncode == 0, done.stderr + workers
    assert f"{3 * IDS} webhooks arrived, {2 * IDS} of them duplicates." in done.stdout
    assert f"{IDS} delivery ids, {IDS} effects: one each." in done.stdout
    assert workers.count("Worker process is ready for action") == 2

    with closing(sqlite3.connect(tmp_path / "digest.sqlite")) as db:
        effects = db.execute("SELECT delivery, count(*) FROM effect GROUP BY delivery").fetchall()
    assert sorted(effects) == sorted((webhook.delivery, 1) for webhook in read_webhooks(DATA))
    check_everything_is_settled(tmp_path / "mailbox")


def check_everything_is_settled(home: Path) -> None:
    """The mailbox says the same as the digest does."""
    server = EmbeddedServer(home)
    try:
        with closing(RedisMailbox(server.open())) as mailbox:
            (queue,) = mailbox.info().queues
    finally:
        server.close()
    assert (queue.accepted, queue.succeeded, queue.duplicates) == (IDS, IDS, 2 * IDS)
    assert (queue.ready, queue.leased, queue.scheduled, queue.suspects) == (0, 0, 0, 0)
    assert (queue.dead, queue.discarded, queue.retried) == (0, 0, 0)
