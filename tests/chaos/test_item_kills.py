"""A handler of a hundred items, killed at any of them: what was done and written is never done again.

`ITEM_KILLS` says how many kills, `CHAOS_SEED` the seed of where they come.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from callboard import Callboard
from callboard.messages.items import ItemStatus
from tests.actors.mailbox.roles import refused_on, role_server, url_as
from tests.chaos.item_worker import ITEMS, CatalogChanged, fails, open_app

KILLS = int(os.environ.get("ITEM_KILLS", "5"))
SEED = int(os.environ.get("CHAOS_SEED", "3"))
WITHIN = 60.0


class Line(NamedTuple):
    """What a worker wrote down."""

    what: str
    event: int
    key: str
    pid: int


class Ground:
    """A server, a worker process at a time, and what they wrote down."""

    def __init__(self, url: str, directory: Path, *, durable: bool) -> None:
        self.durable = durable
        self._url = url
        self._path = directory / "lines"
        self._read = 0
        self._lines: dict[int, list[Line]] = defaultdict(list)
        self.app: Callboard = open_app(url, str(self._path), durable=durable)
        self._process: subprocess.Popen[bytes] | None = None

    def begin_worker(self) -> None:
        """Start a process."""
        how = "durable" if self.durable else "behind"
        program = [sys.executable, "-m", "tests.chaos.item_worker", self._url, str(self._path), how]
        self._process = subprocess.Popen(program)

    def kill_worker(self) -> int:
        """End it in the midst of whatever it does; its process id."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(WITHIN)
        return self._process.pid

    def end_worker(self) -> None:
        """End it as a deploy would."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(WITHIN)

    def lines(self, event: int) -> list[Line]:
        """What was written down of an event."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            what, number, key, pid = line.split()
            self._lines[int(number)].append(Line(what, int(number), key, int(pid)))
        return self._lines[event]

    def kept(self, event: int) -> set[str]:
        """The items of an event that the ledger says have succeeded."""
        records = self.app.mailbox.ledger.of(f"sync:{event}")
        return {record.key for record in records if record.status is ItemStatus.SUCCEEDED}

    def succeeded(self) -> int:
        """How many events are done."""
        return sum(queue.succeeded for queue in self.app.mailbox.info().queues)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something, but not without end."""
        deadline = time.monotonic() + WITHIN
        while not condition():
            assert time.monotonic() < deadline, f"waited {WITHIN:g} s for {what}"
            assert self._process is not None
            assert self._process.poll() is None, "the worker ended by itself"
            time.sleep(0.001)


@pytest.fixture(params=["durable", "behind"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Items that are written one by one, or behind in groups, by a worker that has the rights of one."""
    with role_server("valkey", tmp_path) as server:
        made = Ground(url_as("worker", server.url), tmp_path, durable=request.param == "durable")
        with closing(made.app):
            yield made
            made.end_worker()
        assert refused_on(server.url) == []


@pytest.mark.chaos
@pytest.mark.timeout(60 + 10 * KILLS)
def test_wherever_a_worker_is_killed_no_item_that_was_written_as_done_is_done_again(ground: Ground) -> None:
    chance = random.Random(SEED)  # noqa: S311 - where it strikes, not a secret
    met: Counter[str] = Counter()
    ground.app.broker.boot()
    ground.begin_worker()
    for event in range(2 * KILLS):
        _strike(ground, event, chance.randint(1, ITEMS - 1), met)
        if met["kills"] == KILLS:
            break
    print(f"\nseed {SEED}, {dict(met)}")  # noqa: T201 - the figures of a long run
    assert met["kills"] == KILLS
    assert met["kept"] > 0


def _strike(ground: Ground, event: int, strike_at: int, met: Counter[str]) -> None:
    """Kill the worker at an item of an event, and let another finish the event."""
    ground.app.publish(CatalogChanged(event), dedup_key=str(event))
    ground.wait(lambda: _begun(ground, event) >= strike_at, f"item {strike_at} of event {event}")
    pid = ground.kill_worker()
    kept, lines = ground.kept(event), list(ground.lines(event))
    too_late = ground.succeeded() > event
    ground.begin_worker()
    if too_late:
        met["too late"] += 1
        return
    met["kills"] += 1
    met["kept"] += len(kept)
    if ground.durable:
        assert {line.key for line in lines if line.what == "ended" and not fails(int(line.key))} <= kept
    ground.wait(lambda: ground.succeeded() == event + 1, f"event {event} to be done")
    met["again"] += _check(ground.lines(event), pid, kept, durable=ground.durable)


def _begun(ground: Ground, event: int) -> int:
    return sum(line.what == "begun" for line in ground.lines(event))


def _check(lines: list[Line], killed: int, kept: set[str], *, durable: bool) -> int:
    """Every item was done, and none again that need not be; how many were."""
    begun = [line for line in lines if line.what == "begun"]
    assert {line.key for line in begun} == {str(number) for number in range(ITEMS)}
    later = {line.key for line in begun if line.pid != killed}
    assert not later & kept, f"done again though written: {later & kept}"
    before = {line.key for line in begun if line.pid == killed}
    again = {key for key in later & before if not fails(int(key))}
    # Written one by one, only the item in whose midst it was killed may be done again.
    assert not durable or len(again) <= 1
    return len(again)
