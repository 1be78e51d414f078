"""A worker process: the program itself, and how it is started and asked from outside.

It is told what to be by its one argument, and then for what to wait, a line of JSON each; it answers
each with one. It stops when its input ends.
"""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import dramatiq
import msgspec

from .exported import exporter, leave_output_alone, reporting
from .sides import Spec, callboard_app, dramatiq_actor
from .tally import Report, Tally

ROOT = Path(__file__).parents[2]

STOPS_WITHIN = 60.0
"""Seconds a worker process may take to stop."""

PATIENCE = 180.0
"""Seconds a worker process waits for what it is asked to wait for."""


class Until(msgspec.Struct, frozen=True):
    """What the process is asked to wait for."""

    count: int


class Ready(msgspec.Struct, frozen=True):
    """The first answer: the worker has started."""

    pid: int


class WorkerProgram:
    """A worker process of its own; `environment` is put beside what it inherits."""

    def __init__(self, spec: Spec, environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, msgspec.json.encode(spec).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | (environment or {}),
            cwd=ROOT,
        )
        try:
            msgspec.json.decode(self._answer(), type=Ready)
        except BaseException:
            self.close()
            raise

    def until(self, count: int) -> Report:
        """Wait until it has handled and settled `count` in all, and let it say how that went."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(Until(count)) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._answer(), type=Report)

    def close(self) -> None:
        """Let it stop as it should; kill it if it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the worker process has ended early; what it says of it stands above")
        return line


def main(spec: Spec) -> None:
    """Be a worker process."""
    leave_output_alone()
    # Before anything is measured, as in a pool that has been there for a while.
    with exporter() if spec.policies == "measured" else nullcontext():
        _work(spec)


def _work(spec: Spec) -> None:
    ours = spec.side == "callboard"
    tally = Tally(awaits_settlements=ours)
    app = callboard_app(spec, tally) if ours else None
    broker = dramatiq_actor(spec, tally).broker if app is None else app.broker
    worker = dramatiq.Worker(broker, worker_threads=spec.threads)
    with reporting(app, worker) if app is not None and spec.policies == "measured" else nullcontext():
        worker.start()
        try:
            _say(Ready(os.getpid()))
            for line in sys.stdin.buffer:
                _say(tally.until(msgspec.json.decode(line, type=Until).count, PATIENCE))
        finally:
            worker.stop()
            broker.close()


def _say(answer: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Spec))
