"""On a full server nothing new is taken in, and whatever mends, tells or ends something goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from callboard.actors.mailbox.ledger import Notes
from callboard.actors.mailbox.records import Redress, Replay, Span, records_in
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.schedule import Became
from callboard.messages.delivery import Delivery, OutcomeKind
from callboard.messages.errors import MailboxRefused
from callboard.messages.items import ItemRecord, ItemStatus
from callboard.messages.timing import After
from tests.actors.mailbox.conformance import (
    DEAD,
    LONG,
    QUEUE,
    check_conservation,
    posting,
    retried,
    settlement,
    target,
)
from tests.servers import start_server

Full = tuple[RedisMailbox, list[Delivery]]

SUCCEEDED_ITEM = ItemRecord("sku", ItemStatus.SUCCEEDED, 1, 1, 2)


@pytest.fixture(params=["valkey", "redis"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Full]:
    """Two dead letters, three deliveries that are leased, two that are due later; and no memory left."""
    server = start_server(request.param, tmp_path)
    mailbox = RedisMailbox(server.url, "full", patience=0.2)
    mailbox.publish([posting(target(key)) for key in "12345"])
    mailbox.publish([posting(target(key), delay_ms=LONG) for key in ("later", "last")])
    some = mailbox.fetch(QUEUE, 5, owner="w", lease_ms=LONG).deliveries
    assert mailbox.settle([settlement(each, DEAD) for each in some[:2]]) == [True, True]
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
    yield mailbox, some[2:]
    check_conservation(mailbox.info())
    mailbox.close()
    server.stop()


def test_a_replay_is_refused_and_says_what_helps_but_letters_are_read_and_discarded(full: Full) -> None:
    mailbox, _ = full
    first, second = records_in(mailbox.records, Span(QUEUE, OutcomeKind.DEAD, newest_first=False))
    with pytest.raises(MailboxRefused, match=r"server is full .* raise its maxmemory"):
        mailbox.records.replay([Replay(first.id, first.delivery, QUEUE, 1)], "run")
    assert mailbox.records.discard([second.id], "run") == [Redress.DONE]
    (found,) = mailbox.records.find("receipt:1")
    assert (found.live, [each.kind for each in found.ended]) == (None, [OutcomeKind.DEAD])


def test_what_is_due_later_is_cancelled_moved_and_purged(full: Full) -> None:
    mailbox, _ = full
    assert [each.became for each in mailbox.schedule.cancel("receipt:later")] == [Became.CANCELLED]
    assert [each.became for each in mailbox.schedule.move("receipt:last", After(delay_ms=LONG))] == [
        Became.MOVED
    ]
    assert [each.id for each in mailbox.schedule.page(QUEUE, 9)] == ["receipt:last"]
    assert mailbox.purge(QUEUE) == 1


def test_items_are_written_and_all_that_is_leased_is_settled(full: Full) -> None:
    mailbox, (first, second, third) = full
    assert mailbox.ledger.write([Notes(first, [SUCCEEDED_ITEM])]) == [True]
    assert mailbox.ledger.of(first.id) == [SUCCEEDED_ITEM]
    outcomes = [settlement(first), settlement(second, DEAD), settlement(third, retried())]
    assert mailbox.settle(outcomes) == [True, True, True]
    (again,) = mailbox.fetch(QUEUE, 5, owner="w", lease_ms=LONG).deliveries
    assert again.id == third.id
