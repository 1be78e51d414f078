"""`callboard inspect`: what an operator sees of what runs now."""

import json
import os
import signal
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.running import RunningAttempt
from callboard.cli.exits import ExitCode
from callboard.cli.inspect import drawn, look
from callboard.messages.items import ItemCounts
from tests.actors.mailbox.conformance import LONG, posting, target
from tests.actors.mailbox.roles import url_as
from tests.front.conftest import InProcess, Run, Start, wait_for
from tests.servers import Server

SLOW = """
import time

from callboard import Callboard, Context, Event

app = Callboard("shop", lease="30s")


class Import(Event, name="import"):
    rows: int


@app.actor(queue="imports", timeout="50s")
def load(event: Import, ctx: Context) -> None:
    for item in ctx.items(range(event.rows), key=str):
        with item:
            if item.value == 3:
                time.sleep(45)
"""

LONGEST = RunningAttempt(
    "load:a:1", "imports", 2, "Thread-7", 61_000, 90_000, "import", items=ItemCounts(3, 1, 1, 7)
)
STUCK = RunningAttempt("mail:b", "mails", 1, "Thread-1", 9_000, 5_000, "mail", stuck=True)
MANY = RunningAttempt("batch:c", "rows", 1, "callboard-loop", 2_000, together=20)


@pytest.fixture
def at_work(board: RedisMailbox) -> RedisMailbox:
    """A board with two workers that are at something."""
    board.publish([posting(target(str(number))) for number in range(30)])
    board.fetch("orders", 30, owner="web-1:42:abc", lease_ms=LONG)
    for owner in ("web-1:42:abc", "web-2:43:def"):
        board.heartbeat(owner)
    board.running.tell("web-1:42:abc", [LONGEST, MANY], more=2)
    board.running.tell("web-2:43:def", [STUCK])
    return board


def test_what_runs_is_told_with_the_longest_first(command: InProcess, at_work: RedisMailbox) -> None:
    told: dict[str, Any] = json.loads(command("inspect", "--json").out)
    first, stuck, batch = told["running"]
    assert (told["more"], told["leased"]) == (2, 30)
    assert first.pop("elapsed_ms") + first.pop("left_ms") == 90_000
    assert first == {
        "worker": "web-1:42:abc",
        "host": "web-1",
        "pid": 42,
        "thread": "Thread-7",
        "queue": "imports",
        "actor": "load",
        "delivery": "load:a:1",
        "event": "import",
        "together": 1,
        "attempt": 2,
        "items": {"succeeded": 3, "failed": 1, "skipped": 1, "not_done": 7},
        "stuck": False,
    }
    assert (stuck["stuck"], stuck["left_ms"], stuck["items"]) == (True, 0, None)
    assert (batch["together"], batch["left_ms"], batch["event"]) == (20, None, None)


def test_it_is_shown_as_a_table(at_work: RedisMailbox) -> None:
    out = Console(file=StringIO(), width=200, emoji=False)
    for part in drawn(look(at_work)):
        out.print(part)
    assert isinstance(out.file, StringIO)
    rows = [line.split() for line in out.file.getvalue().splitlines() if "web-" in line]
    assert rows[0][:8] == ["web-1", "42", "Thread-7", "imports", "load:a:1", "4", "of", "12"]
    assert rows[0][8:-1] == ["done,", "1", "failed", "2", "0:01:01"]
    # It is 0:00:29 when it is looked at within the millisecond in which it was told.
    assert rows[0][-1] in {"0:00:28", "0:00:29"}
    assert rows[1][-2:] == ["0:00:09", "stuck"]
    assert rows[2][4:8] == ["batch:c", "and", "19", "more"]
    assert out.file.getvalue().splitlines()[-1].strip() == (
        "5 running for longer than a second, 2 of them not shown, 6 more deliveries at workers"
    )


def test_nothing_that_runs_is_said_in_a_line(command: InProcess, board: RedisMailbox) -> None:
    board.publish([posting()])
    assert command("inspect").out == "0 running for longer than a second, 0 more deliveries at workers\n"


def test_a_watch_looks_again_and_again_until_it_is_interrupted(
    at_work: RedisMailbox, start: Start, environment: dict[str, str], server: Server, tmp_path: Path
) -> None:
    environment |= {"CALLBOARD_URL": url_as("reader", server.url), "CALLBOARD_WORKSPACE": at_work.workspace}
    process = start([sys.executable, "-m", "callboard", "inspect", "--watch", "--json"])
    wait_for(lambda: (tmp_path / "out").read_text().count("\n") >= 2, "two looks")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == ExitCode.INTERRUPTED
    looks = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [each["delivery"] for each in looks[0]["running"]] == ["load:a:1", "mail:b", "batch:c"]


def test_a_worker_is_seen_at_its_items_and_no_more_when_it_was_killed(
    callboard: Run, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SLOW)
    pool = start([sys.executable, "-m", "callboard", "run", "shop:app", "-p", "1", "-t", "2"])
    assert callboard("send", "shop:app", "import", "--data", '{"rows": 10}').returncode == 0

    def running() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = json.loads(callboard("inspect", "--json").stdout)["running"]
        return told

    wait_for(running, "what runs")
    (attempt,) = running()
    assert (attempt["actor"], attempt["queue"], attempt["attempt"]) == ("load", "imports", 1)
    assert attempt["items"] == {"succeeded": 3, "failed": 0, "skipped": 0, "not_done": 7}
    assert 40_000 < attempt["left_ms"] < 50_000
    assert os.getpgid(attempt["pid"]) == os.getpgid(pool.pid)
    os.kill(attempt["pid"], signal.SIGKILL)
    wait_for(lambda: not running(), "it to be forgotten")
