"""What a server does not tell this user is left out, and the rest is told."""

from pathlib import Path

import pytest
import redis

from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.mailbox.conformance import posting, target
from tests.servers import Kind, start_server


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_where_info_is_not_permitted_queues_are_told_without_the_memory(kind: Kind, tmp_path: Path) -> None:
    server = start_server(kind, tmp_path)
    mailbox = RedisMailbox(server.url, "w")
    mailbox.publish([posting(target("a"))])
    before = mailbox.gauges.read()
    assert before.memory is not None
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    after = mailbox.gauges.read()
    assert after.memory is None
    assert [(queue.queue, queue.ready) for queue in after.queues] == [("orders", 1)]
    mailbox.close()
    server.stop()
