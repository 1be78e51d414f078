"""What two pools on a machine have counted is what the records say (I17), also when one is replaced."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.cli.exits import ExitCode
from tests.actors.mailbox.roles import RolesMailbox, url_as
from tests.front.conftest import Run, Start, children_of, wait_for
from tests.front.test_metrics import RUN, get, is_ready, send
from tests.servers import Server

SHOP = """
from callboard import Callboard, DiscardEvent, Event, RejectEvent, Retry

app = Callboard("shop", lease="5s", grace="5s", retry=Retry.every("1 ms", max_attempts=2))


class OrderPlaced(Event, name="order.placed"):
    order_id: str


@app.actor(queue="orders")
def note(event: OrderPlaced) -> None:
    how = event.order_id.partition("-")[0]
    if how in ("fail", "reject", "drop"):
        raise {"fail": ValueError, "reject": RejectEvent, "drop": DiscardEvent}[how](how)
"""

HOW = ("fine", "fail", "reject", "drop")
MANY = 200

_workspaces = count(1)

Ends = Counter[tuple[str, str]]
"""How many deliveries ended, by result and reason."""


@pytest.fixture
def mailbox(
    server: Server, tmp_path: Path, sockets: Path, environment: dict[str, str]
) -> Iterator[RedisMailbox]:
    """Where the pools of a test work."""
    (tmp_path / "shop.py").write_text(SHOP)
    workspace = f"pools-{os.getpid()}-{next(_workspaces)}"
    environment |= {"CALLBOARD_URL": url_as("worker", server.url), "CALLBOARD_WORKSPACE": workspace}
    made = RolesMailbox(server.url, workspace)
    yield made
    made.close()


def counted(*addresses: str) -> Ends:
    """What pools have counted in all."""
    pattern = r'^callboard_deliveries_ended_total\{.*result="(\w+)",reason="(\w*)"\} (\S+)$'
    found: Ends = Counter()
    for address in addresses:
        for result, reason, number in re.findall(pattern, get(address, "/metrics")[1], re.MULTILINE):
            found[result, reason] += int(float(number))
    return +found


def recorded(mailbox: RedisMailbox, sent: int) -> Ends:
    """What the mailbox says of all that was sent; of a success nothing but that it is gone."""
    queues = mailbox.info().queues
    kept: Ends = Counter((each.kind.value, each.reason or "") for each in mailbox.ended("orders", 10_000))
    live = sum(each.live for each in queues)
    return kept + Counter({("succeeded", ""): sent - kept.total() - live})


def test_counters_of_two_pools_are_the_records_when_one_of_them_is_killed_and_replaced(
    callboard: Run, start: Start, mailbox: RedisMailbox, address: str, environment: dict[str, str]
) -> None:
    other = f"127.0.0.1:{int(address.rpartition(':')[2]) + 1}"
    first = start([*RUN, "--metrics", address])
    start([*RUN, "--metrics", other])
    wait_for(is_ready(address), "the first pool")
    wait_for(is_ready(other), "the second pool")
    sent = 0

    def send_more() -> None:
        nonlocal sent
        send(callboard, *(f"{HOW[number % 4]}-{number}" for number in range(sent, sent + MANY)))
        sent += MANY

    def agree(before: Ends, *addresses: str) -> bool:
        ends = before + counted(*addresses)
        return ends.total() == sent and ends == recorded(mailbox, sent)

    send_more()
    wait_for(lambda: agree(Counter(), address, other), "both to count what is recorded")
    done_by_first = counted(address)
    os.kill(children_of(first)[0], signal.SIGKILL)
    assert first.wait(60) == ExitCode.FAILED
    send_more()
    wait_for(lambda: agree(done_by_first, other), "the second to count it alone")
    start([*RUN, "--metrics", address])
    wait_for(is_ready(address), "the first pool's successor")
    send_more()
    wait_for(lambda: agree(done_by_first, address, other), "all of it to be counted once")
    assert len(recorded(mailbox, sent)) == len(HOW)
