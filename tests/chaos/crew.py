"""The processes of a round: workers and publishers, begun again when they end, all ended at last."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from .load import Place

Role = Literal["worker", "publisher"]

ROOT = Path(__file__).parents[2]
ENDS_WITHIN = 10.0
LOGS = "logs"

MOST_STARTS = 60
"""Starts of one slot: a process that dies as soon as it begins must not go on for ever."""


class Member(msgspec.Struct):
    """One process; the next in its slot has another name."""

    role: Role
    slot: int
    name: str
    process: "subprocess.Popen[bytes]"
    stopped: bool = False

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        self.stopped = number is signal.SIGSTOP or (self.stopped and number is not signal.SIGCONT)
        if self.alive:
            self.process.send_signal(number)


class Crew:
    """All processes of a round; leaving its context ends every one by its own id."""

    def __init__(self, directory: Path, place: Callable[[str], Place]) -> None:
        self._directory = directory
        self._place = place
        self._starts: dict[tuple[Role, int], int] = {}
        self.members: list[Member] = []
        """Whoever holds a slot now."""
        self.names: dict[int, str] = {}
        """The latest name by process id."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.end(self.members, signal.SIGKILL)

    def hire(self, role: Role, slots: int) -> None:
        """Start processes of a role."""
        self.members += [self._start(role, slot) for slot in range(slots)]

    def replace(self, role: Role) -> None:
        """Start a process for each of a role that has ended."""
        for position, member in enumerate(self.members):
            if member.role == role and not member.alive:
                self.members[position] = self._start(role, member.slot)

    def of(self, role: Role) -> list[Member]:
        """Those of a role that live and are not stopped."""
        return [each for each in self.members if each.role == role and each.alive and not each.stopped]

    def dismiss(self, role: Role) -> None:
        """Tell all of a role to end, and wait until they have."""
        self.end([member for member in self.members if member.role == role], signal.SIGTERM)

    def wait(self, role: Role, seconds: float) -> bool:
        """Wait until all of a role have ended by themselves."""
        deadline = time.monotonic() + seconds
        while any(member.alive for member in self.members if member.role == role):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def end(self, members: list[Member], by: signal.Signals) -> None:
        """End processes; whoever does not heed is killed."""
        for member in members:
            member.signal(signal.SIGCONT)
            member.signal(by)
        deadline = time.monotonic() + ENDS_WITHIN
        for member in members:
            try:
                member.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()

    def _start(self, role: Role, slot: int) -> Member:
        start = self._starts[role, slot] = self._starts.get((role, slot), 0) + 1
        if start > MOST_STARTS:
            raise RuntimeError(f"{role} {slot} has ended {MOST_STARTS} times: see {self._directory / LOGS}")
        name = f"{role}{slot}.{start}"
        with (self._directory / LOGS / name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.chaos.{role}", msgspec.json.encode(self._place(name))],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.names[process.pid] = name
        return Member(role, slot, name, process)
