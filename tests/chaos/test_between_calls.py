"""Invariant I12: whatever process is killed between any two calls to the server, nothing is half done."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import count

import pytest

from callboard.actors.dead_letters import DeadLetters
from callboard.actors.mailbox.infos import QueueInfo
from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.mailbox.conformance import DEAD, LONG, check_conservation, posting, queue_of, target
from tests.chaos.between_calls import DIED, publish
from tests.servers import start_server

LETTERS = 9
MOST_CALLS = 60
"""No program here makes more."""

_workspaces = count(1)


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey for all of them."""
    server = start_server("valkey", tmp_path_factory.mktemp("between"))
    yield server.url
    server.stop()


def killed(what: str, mailbox: RedisMailbox, url: str, nth: int) -> bool:
    """Run a program that dies before its nth call; False if it came to its end without."""
    told = (what, url, mailbox.workspace, str(nth))
    command = [sys.executable, "-m", "tests.chaos.between_calls", *told]
    code = subprocess.run(command, check=False, capture_output=True, timeout=60).returncode
    assert code in (0, DIED), code
    return code == DIED


def moments(what: str, url: str) -> Iterator[tuple[RedisMailbox, int]]:
    """Every moment between two calls of a program, each in a workspace of its own that is yielded first."""
    for nth in range(1, MOST_CALLS):
        mailbox = RedisMailbox(url, f"between-{next(_workspaces)}")
        yield mailbox, nth
        died = killed(what, mailbox, url, nth)
        yield mailbox, nth
        check_conservation(mailbox.info())
        mailbox.close()
        if not died:
            return


def state(mailbox: RedisMailbox, queue: str) -> QueueInfo:
    """One queue."""
    return queue_of(mailbox.info(), queue)


@pytest.mark.timeout(300)
def test_an_event_reaches_all_its_actors_or_none(server_url: str) -> None:
    came = set()
    steps = moments("publish", server_url)
    for _before in steps:
        mailbox, nth = next(steps)
        reached = (state(mailbox, "first").accepted, state(mailbox, "third").accepted)
        assert reached in ((0, 0), (1, 2)), nth
        came.add(reached)
    assert came == {(0, 0), (1, 2)}


@pytest.mark.timeout(300)
def test_what_a_handler_publishes_is_there_with_its_success_or_not_at_all(server_url: str) -> None:
    came = set()
    steps = moments("work", server_url)
    for mailbox, _ in steps:
        publish(mailbox)
        _, nth = next(steps)
        told = (state(mailbox, "first").succeeded, state(mailbox, "second").accepted)
        assert told in ((0, 0), (1, 4)), nth
        came.add(told)
    assert came == {(0, 0), (1, 4)}


@pytest.mark.timeout(300)
def test_a_replay_that_is_killed_and_run_again_replays_each_letter_once(server_url: str) -> None:
    came = set()
    steps = moments("replay", server_url)
    for mailbox, _ in steps:
        mailbox.publish([posting(target(str(key)), body=b"%d" % key) for key in range(LETTERS)])
        taken = mailbox.fetch("orders", LETTERS, owner="w", lease_ms=LONG).deliveries
        mailbox.settle([Settlement(each, DEAD) for each in taken])
        _, nth = next(steps)
        before = state(mailbox, "orders").replayed
        came.add(before)
        rest = DeadLetters(mailbox).replay()
        assert before + rest.done == LETTERS, nth
        again = mailbox.fetch("orders", 2 * LETTERS, owner="w", lease_ms=LONG).deliveries
        assert sorted(int(each.key) for each in again) == list(range(LETTERS))
    assert came == {0, 3, 6, LETTERS}
