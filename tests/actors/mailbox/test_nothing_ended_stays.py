"""Whatever a server keeps of what has ended is forgotten in the end, even of a queue that is gone."""

import pytest
import redis
from msgspec.structs import replace

from callboard.actors.mailbox.keys import root_of
from callboard.actors.mailbox.mailbox import MIN_WINDOW_MS
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import OutcomeKind
from tests.actors.mailbox.conformance import (
    DEAD,
    DISCARDED,
    LONG,
    QUEUE,
    SUCCEEDED,
    posting,
    settlement,
    target,
)
from tests.servers import Server

DAY = 24 * 3_600_000


@pytest.mark.parametrize("kind", ["valkey", "redis_server"])
def test_what_is_kept_of_the_ended_ends_with_the_last_record(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(kind)
    mailbox = RedisMailbox(server.url, f"{kind}-ended")
    mailbox.publish([posting(target(key)) for key in "1234"])
    outcomes = [DEAD, DEAD, DISCARDED, SUCCEEDED]
    some = mailbox.fetch(QUEUE, 4, owner="w", lease_ms=LONG).deliveries
    lasting = [DAY, 2 * DAY, DAY, DAY]
    for delivery, outcome, retention_ms in zip(some, outcomes, lasting, strict=True):
        mailbox.settle([replace(settlement(delivery, outcome), retention_ms=retention_ms)])
    second = f"receipt:2#{some[1].fence}"
    mailbox.records.discard([second], "run")
    root = root_of(f"{kind}-ended")
    with redis.Redis.from_url(server.url) as client:
        lasts = {
            key.decode().removeprefix(root): client.pttl(key) for key in client.scan_iter(f"{root}ended*")
        }
    lists = {key: left for key, left in lasts.items() if not key.startswith("ended:")}
    assert all(MIN_WINDOW_MS < left <= 2 * DAY for left in lasts.values()), lasts
    assert lists[f"ended-in:{OutcomeKind.DEAD}:{QUEUE}"] > DAY
    assert lists[f"ended-until:{OutcomeKind.DISCARDED}:{QUEUE}"] > DAY
    mailbox.close()
