"""What an operator waits for with 100,000 dead letters, in what memory, and what others feel of it."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from statistics import median

import msgspec
import redis

from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.buried import bury

from ..figures import Row, milliseconds, percentile
from ..ground import Ground, open_ground
from ..plan import Plan

CommandTimes = dict[str, dict[str, float]]

FEW = 10_000
COMMANDS = {
    "grouped": ("dlq", "list"),
    "the latest 50 listed": ("dlq", "list", "--each"),
    "grouped by filter": ("dlq", "list", "--error", "KeyError"),
    "half replayed by filter": ("dlq", "replay", "--error", "KeyError", "--yes"),
    "the rest discarded": ("dlq", "discard", "--all", "--yes"),
}

SECONDS_GOAL = 30.0
"""For each command with 100,000."""

MEMORY_GOAL_KIB = 8192
"""By which a command may be larger with ten times the letters."""

STEP_GOAL = 0.005
"""Seconds for which one script holds the server, on average."""


class Take(msgspec.Struct, frozen=True):
    """One command."""

    seconds: float
    rss_kib: int
    step: float
    """Seconds for which a script held the server, on average."""
    pings: list[float]
    """Seconds that somebody else waited for an answer of the server, again and again meanwhile."""


def run(plan: Plan) -> list[Row]:
    """The same commands in a workspace with few and in one with many."""
    many = plan.pick(short=20_000, full=100_000)
    takes: dict[int, dict[str, Take]] = {}
    with open_ground(plan.server) as ground:
        for count in (FEW, many):
            workspace = f"letters-{count}"
            mailbox = RedisMailbox(ground.url, workspace)
            bury(mailbox, count)
            mailbox.close()
            ground.settle_down()
            takes[count] = {name: _take(ground, workspace, words) for name, words in COMMANDS.items()}
    return [row for name in COMMANDS for row in _rows(name, many, takes[FEW][name], takes[many][name])]


def _rows(name: str, many: int, few: Take, take: Take) -> list[Row]:
    more = take.rss_kib - few.rss_kib
    felt = percentile(take.pings, 0.99)
    return [
        Row(
            "letters",
            f"{many:,} {name}",
            f"{take.seconds:.1f} s",
            f"<= {SECONDS_GOAL:g} s",
            take.seconds <= SECONDS_GOAL,
        ),
        Row(
            "letters",
            f"memory of that, more than with {FEW:,} by",
            f"{more / 1024:.1f} MiB of {take.rss_kib / 1024:.0f}",
            f"<= {MEMORY_GOAL_KIB / 1024:g} MiB",
            more <= MEMORY_GOAL_KIB,
        ),
        Row(
            "letters",
            "a script of it held the server for",
            milliseconds(take.step),
            f"<= {milliseconds(STEP_GOAL)}",
            take.step <= STEP_GOAL,
        ),
        Row(
            "letters",
            "others waited meanwhile, p50, p99 and at most",
            ", ".join(map(milliseconds, (median(take.pings), felt, max(take.pings)))),
        ),
    ]


def _take(ground: Ground, workspace: str, words: tuple[str, ...]) -> Take:
    place = ("--url", ground.url, "--workspace", workspace, "--json")
    over, pings = threading.Event(), list[float]()
    other = threading.Thread(target=partial(_ping, ground.url, over, pings))
    with tempfile.TemporaryFile() as out:
        other.start()
        before = ground.command_times()
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "callboard", *words, *place], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        over.set()
        other.join()
        out.seek(0)
        answer = out.read()
    if process.returncode:
        raise RuntimeError(f"callboard {' '.join(words)} ended with {process.returncode}")
    json.loads(answer)
    return Take(seconds, usage.ru_maxrss, _a_step(before, ground.command_times()), pings)


def _a_step(before: CommandTimes, after: CommandTimes) -> float:
    """Seconds for a call of a script, on average."""
    calls, microseconds = (
        sum(
            after[name][what] - before.get(name, {}).get(what, 0)
            for name in after
            if name.startswith("evalsha")
        )
        for what in ("calls", "usec")
    )
    return microseconds / calls / 1e6


def _ping(url: str, over: threading.Event, pings: list[float]) -> None:
    with redis.Redis.from_url(url) as client:
        client.ping()
        while not over.wait(0.001):
            began = time.perf_counter()
            client.ping()
            pings.append(time.perf_counter() - began)
