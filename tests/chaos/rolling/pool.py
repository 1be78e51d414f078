"""A pool, `callboard run` in processes of its own, and how long it takes to end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from tests.chaos.crew import LOGS, ROOT
from tests.chaos.effects import FOLDER
from tests.chaos.load import Place

from .side import PLACE

How = Literal["end", "reload", "end worker"]
"""SIGTERM to the pool, SIGHUP to the pool, or SIGTERM to one of its worker processes."""

EXIT_CODES: dict[How, int | None] = {"end": 0, "reload": None, "end worker": 1}
"""Of the pool; one that nobody told to end is to be begun anew by its supervisor."""

PROCESSES = 2
SUPERVISOR_SECONDS = 10.0
"""What a supervisor gives a pool from SIGTERM until it kills it, a third of Kubernetes' default."""

COMES_UP_WITHIN = 60.0
LOOK_SECONDS = 0.005


class Stop(msgspec.Struct, frozen=True):
    """One stop of all the workers of a pool."""

    how: How
    pool: str
    members: tuple[str, ...]
    """Its worker processes."""
    told: float
    ended: float
    code: int | None
    """The exit code of the pool; None where it was reloaded, and so goes on."""

    @property
    def seconds(self) -> float:
        """From the signal to the exit of the pool, or of its workers where it was reloaded."""
        return self.ended - self.told


class Pool:
    """Worker processes that are known by the effects of the handlers they have run."""

    def __init__(self, place: Place) -> None:
        self._name = place.member
        self._directory = Path(place.directory)
        self._workers: set[int] = set()
        self._gone: set[int] = set()
        self._log = self._directory / LOGS / self._name
        command = ("run", f"{__package__}.app:app", "-p", str(PROCESSES), "-t", str(place.threads))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "callboard", *command, "--metrics", "none"],
                cwd=ROOT,
                env=os.environ | {PLACE: msgspec.json.encode(place).decode()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def await_work(self) -> None:
        """Wait until each of its worker processes has run a handler."""
        deadline = time.monotonic() + COMES_UP_WITHIN
        while len(self._workers) < PROCESSES:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._name} does not come up: {self._log.read_text()[-2000:]}")
            found = (self._directory / FOLDER).glob(f"{self._name}.*.sqlite")
            self._workers = {int(path.suffixes[-2][1:]) for path in found} - self._gone
            time.sleep(LOOK_SECONDS)

    def stop(self, how: How, dice: int = 0) -> Stop:
        """Stop its workers, and wait until they have; one that takes too long is killed.

        Reloaded, it has new ones a moment later.
        """
        workers = sorted(self._workers)
        told = time.monotonic()
        if how == "end worker":
            os.kill(workers[dice % len(workers)], signal.SIGTERM)
        else:
            self._process.send_signal(signal.SIGHUP if how == "reload" else signal.SIGTERM)
        while self._goes_on(how) and time.monotonic() < told + SUPERVISOR_SECONDS:
            time.sleep(LOOK_SECONDS)
        ended = time.monotonic()
        if self._goes_on(how):
            self.kill()
        self._workers, self._gone = set(), self._gone | self._workers
        members = tuple(f"{self._name}.{pid}" for pid in workers)
        code = None if how == "reload" else self._process.wait()
        return Stop(how, self._name, members, told, ended, code)

    def kill(self) -> None:
        """End it and its worker processes at once."""
        for pid in self._workers:
            if _is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def _goes_on(self, how: How) -> bool:
        return any(map(_is_alive, self._workers)) if how == "reload" else self._process.poll() is None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
