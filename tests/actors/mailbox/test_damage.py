"""What the servers' mailbox keeps, and what it does where that disagrees, as after a bad restore."""

from collections.abc import Callable, Iterator

import pytest
import redis

from callboard.actors.mailbox.keys import OF_WORKSPACE, queue_key, root_of
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.subscriptions import Subscription
from tests.actors.mailbox.conformance import BRIEF, QUEUE, ServerStage, ids, posting, settlement, target


class Damaged:
    """A stage whose keys can be taken away from under the mailbox."""

    def __init__(self, url: str, stage: ServerStage) -> None:
        self.stage = stage
        self._client = redis.Redis.from_url(url)
        assert isinstance(stage.mailbox, RedisMailbox)
        self._root = root_of(stage.mailbox.workspace)

    def lose(self, part: str, identity: str) -> None:
        """Take a delivery out of one hash of the workspace."""
        assert self._client.hdel(self._root + OF_WORKSPACE[part], identity) == 1

    def exists(self, part: str) -> bool:
        """Whether the queue has this key."""
        return bool(self._client.exists(queue_key(self._root, part, QUEUE)))

    def encoding(self, key: str) -> object:
        """How the server keeps a key."""
        return self._client.object("encoding", self._root + key)

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()
        self.stage.close()


@pytest.fixture(params=["valkey", "redis_server"])
def damaged(request: pytest.FixtureRequest, open_stage: Callable[[str], ServerStage]) -> Iterator[Damaged]:
    """An empty workspace of each server."""
    url = request.getfixturevalue(request.param).url
    opened = Damaged(url, open_stage(url))
    yield opened
    opened.close()


def test_a_lease_without_a_fence_is_taken_back_like_any_other(damaged: Damaged) -> None:
    stage = damaged.stage
    stage.publish_keys("1", "2")
    (lost, _) = stage.lose()
    damaged.lose("FENCES", lost.id)
    fetched = stage.fetch()
    assert (fetched.deliveries, fetched.suspects) == ([], 2)
    assert {stage.take(alone=True).key, stage.take(alone=True).key} == {"1", "2"}
    assert stage.settle(settlement(lost)) == [False]


@pytest.mark.parametrize("alone", [False, True])
def test_what_has_lost_its_body_is_left_out_and_gives_its_lane_on(damaged: Damaged, alone: bool) -> None:
    stage = damaged.stage
    stage.mailbox.register([Subscription("receipt", QUEUE, {}, concurrency=1)])
    stage.publish(*(posting(target(key, lane="receipt:A")) for key in ("lost", "2")))
    if alone:
        stage.fetch(1, lease_ms=BRIEF)
        stage.let_pass(BRIEF)
    damaged.lose("BODIES", "receipt:lost")
    first = stage.mailbox.fetch(QUEUE, 1, owner="w", lease_ms=BRIEF, alone=alone)
    assert first.deliveries == []
    again = stage.mailbox.fetch(QUEUE, 1, owner="w", lease_ms=BRIEF)
    assert ids(again.deliveries) == ["receipt:2"]
    assert stage.mailbox.settle([settlement(again.deliveries[0])]) == [True]
    assert not damaged.exists("HOLDER")


def test_a_few_fences_and_holders_are_looked_up_and_not_searched(damaged: Damaged) -> None:
    damaged.stage.publish(posting(target("1", lane="receipt:A")))
    damaged.stage.take()
    for key in ("fences", f"ordered:{QUEUE}", f"holder:{QUEUE}", f"owner:{QUEUE}"):
        assert damaged.encoding(key) == b"hashtable", key


def test_a_queue_keeps_no_keys_of_lanes_that_are_done(damaged: Damaged) -> None:
    stage = damaged.stage
    stage.publish(*(posting(target(key, lane=f"receipt:{key[0]}")) for key in ("a1", "a2", "b1")))
    while deliveries := stage.fetch().deliveries:
        stage.settle(*(settlement(delivery) for delivery in deliveries))
    assert not any(damaged.exists(part) for part in ("ORDERED", "HOLDER", "OWNER", "LIMITS"))
