"""Restarts two pools one after another while events are published steadily, and sees what comes of it."""

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import msgspec

from tests.chaos.callboard_side import CallboardSight
from tests.chaos.crew import LOGS
from tests.chaos.effects import FOLDER, TRAPS, read_effects
from tests.chaos.gathered import disturbances, publishes
from tests.chaos.history import History, read_history
from tests.chaos.load import Place
from tests.chaos.observed import Observed
from tests.chaos.repeats import END_POOL
from tests.servers import Kind, start_server

from .pool import How, Pool, Stop
from .steady import SteadyPublisher

LEASE_MS = 10_000
"""Longer than any stop: what is taken over was left behind."""

THREADS = 4
POOLS = 2
PAUSE_SECONDS = (0.1, 0.8)
COMES_TO_REST_WITHIN = 60.0

HOWS: tuple[How, ...] = ("end", "end", "end", "end", "end", "end", "end", "reload", "reload", "end worker")
BEFORE = 0.5
"""How often the new pool works beside the old one before that is told to end."""


class Rolled(msgspec.Struct, frozen=True):
    """Restarts that were made."""

    seed: int
    seen: Observed
    stops: tuple[Stop, ...]
    rest_seconds: float
    directory: Path
    """What is left behind, to be removed by whoever has no use for it."""


class _Stage:
    """The pools, and what is known of their stops."""

    def __init__(self, seed: int, url: str, directory: Path, history: History) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - the same again
        self._seed = seed
        self._url = url
        self._directory = directory
        self._history = history
        self._numbers = count(1)
        self.pools: list[Pool] = []
        self.stops: list[Stop] = []

    def place(self, name: str) -> Place:
        """Where a process works."""
        return Place("callboard", self._url, name, str(self._directory), LEASE_MS, THREADS, self._seed)

    def open(self) -> Pool:
        """Start one more pool."""
        pool = Pool(self.place(f"pool{next(self._numbers)}"))
        self.pools.append(pool)
        return pool

    def restart(self) -> Stop:
        """Restart the older pool in one of the ways, and wait until all work."""
        dice = self._dice
        time.sleep(dice.uniform(*PAUSE_SECONDS))
        how, before = dice.choice(HOWS), dice.random() < BEFORE
        old = self.pools.pop(0)
        if how == "reload":
            self.pools.append(old)
            stop = self._stop(old, how)
            old.await_work()
            return stop
        if before:
            self.open().await_work()
        stop = self._stop(old, how)
        if not before:
            self.open().await_work()
        return stop

    def end(self) -> None:
        """End the pools, also as an operator would."""
        while self.pools:
            self._stop(self.pools.pop(), "end")

    def kill(self) -> None:
        """Leave nothing running."""
        for pool in self.pools:
            pool.kill()

    def _stop(self, pool: Pool, how: How) -> Stop:
        try:
            stop = pool.stop(how, self._dice.randrange(1000))
        except BaseException:
            pool.kill()
            raise
        for member in stop.members:
            self._history.fault(END_POOL, member=member, start=stop.told, end=stop.ended)
        self.stops.append(stop)
        return stop


def roll(
    seed: int, restarts: int, server: Kind = "valkey", tell: Callable[[Stop], object] = lambda _stop: None
) -> Rolled:
    """Make restarts under load, and tell each stop. What it started has ended when it returns, or raises."""
    directory = Path(tempfile.mkdtemp(prefix="rolling-"))
    with ExitStack() as held:
        for folder in (LOGS, FOLDER, TRAPS):
            (directory / folder).mkdir()
        history = held.enter_context(closing(History(directory)))
        running = start_server(server, directory / "s")
        held.callback(running.kill)
        sight = held.enter_context(closing(CallboardSight(running.url)))
        stage = _Stage(seed, running.url, directory, history)
        held.callback(stage.kill)
        with SteadyPublisher(stage.place("publisher"), history):
            for pool in [stage.open() for _ in range(POOLS)]:
                pool.await_work()
            for _ in range(restarts):
                tell(stage.restart())
        rest_seconds = _come_to_rest(sight)
        stage.end()
        seen = _observe(directory, sight)
    return Rolled(seed, seen, tuple(stage.stops), rest_seconds, directory)


def _come_to_rest(sight: CallboardSight) -> float:
    began = time.monotonic()
    while not sight.at_rest() and time.monotonic() < began + COMES_TO_REST_WITHIN:
        time.sleep(0.02)
    return time.monotonic() - began


def _observe(directory: Path, sight: CallboardSight) -> Observed:
    runs, stalls = read_effects(directory)
    lines = read_history(directory)
    return Observed(
        publishes=tuple(publishes(lines)),
        runs=tuple(runs),
        disturbances=tuple(disturbances(lines, stalls)),
        records=tuple(sight.records()),
        queues=sight.info().queues,
    )


def forget(rolled: Rolled) -> None:
    """Remove what restarts left behind."""
    shutil.rmtree(rolled.directory)
