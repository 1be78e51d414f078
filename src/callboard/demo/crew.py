"""The demo's workers: pools of one process each, started again when they die."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..messages.errors import CallboardError
from .effects import read_workers

THREADS = 4
MOST_DEATHS = 10
"""After so many the demo gives up: something keeps the workers from living."""

LEAVE_WITHIN = 15.0
"""Seconds after which a pool that was asked to end is killed."""

LAST_WORDS = 1500
"""Characters of a log that an error tells."""


class CrewLost(CallboardError):
    """Raised when the workers die again and again."""


class Crew:
    """Worker pools for one workspace; each is a `callboard run` of its own.

    dramatiq ends a pool when one of its processes dies, so one process a pool lets the others go on.
    """

    def __init__(self, home: Path, workspace: str, effects: Path, *, size: int) -> None:
        self.killed: set[int] = set()
        """The process ids of workers that died without having been asked to end."""
        self._home = home
        self._effects = effects
        self._environment = _environment(home, workspace)
        self._pools: list[subprocess.Popen[bytes] | None] = [None] * size
        self._deaths = 0

    def start(self) -> None:
        """Start every pool that is not there."""
        for place, pool in enumerate(self._pools):
            if pool is None:
                self._pools[place] = self._start_pool(place)

    def look(self) -> list[str]:
        """Start those again that have died; a line about each. Raises `CrewLost` when it is too often."""
        told = []
        for place, pool in enumerate(self._pools):
            if pool is not None and (code := pool.poll()) is not None:
                dead = self._bury(pool)
                self._pools[place] = None
                who = f"worker {place + 1}" + (f" (process {dead[-1]})" if dead else "")
                told.append(f"{who} was killed; starting another")
                self._deaths += 1
                if self._deaths > MOST_DEATHS or code in (2, 3):
                    raise CrewLost(f"{who} does not live; its log says:\n{self._last_words(place)}")
        self.start()
        return told

    def kill_one(self, holds: Callable[[], bool]) -> int | None:
        """Kill a worker process, as a crash would, while it holds deliveries; its id, or None if none did.

        `holds` tells whether the worker, which stands still meanwhile, holds any.
        """
        for pool in self._pools:
            found = read_workers(self._effects, pool.pid) if pool is not None else []
            if not found:
                continue
            os.kill(found[-1], signal.SIGSTOP)
            if holds():
                self.killed.add(found[-1])
                os.kill(found[-1], signal.SIGKILL)
                return found[-1]
            os.kill(found[-1], signal.SIGCONT)
        return None

    def stop(self) -> None:
        """Ask all to end what they do and leave; whoever does not is killed."""
        pools = [pool for pool in self._pools if pool is not None]
        self._pools = [None] * len(self._pools)
        give_up_at = time.monotonic() + LEAVE_WITHIN
        try:
            for pool in pools:
                pool.terminate()
            for pool in pools:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    pool.wait(max(0.0, give_up_at - time.monotonic()))
        finally:
            for pool in pools:
                _sweep(pool)

    def _bury(self, pool: "subprocess.Popen[bytes]") -> list[int]:
        _sweep(pool)
        dead = read_workers(self._effects, pool.pid)
        self.killed.update(dead)
        return dead

    def _start_pool(self, place: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "callboard", "run", "callboard.demo.shop:app"]
        with self._log(place).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own command
                [*command, "-p", "1", "-t", str(THREADS)],
                cwd=self._home,
                env=self._environment,
                # Ctrl-C is for the demo, which then asks the workers to end.
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _log(self, place: int) -> Path:
        return self._home / f"worker-{place + 1}.log"

    def _last_words(self, place: int) -> str:
        return self._log(place).read_text("utf-8", "replace")[-LAST_WORDS:].strip()


def _environment(home: Path, workspace: str) -> dict[str, str]:
    """That of this process, with settings of the demo's own."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    ours = {"CALLBOARD_HOME": str(home), "CALLBOARD_WORKSPACE": workspace, "CALLBOARD_METRICS": "none"}
    return others | ours


def _sweep(pool: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of a pool: its processes are a group that nobody else is in."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pool.pid, signal.SIGKILL)
    pool.wait()
