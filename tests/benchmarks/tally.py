"""What a worker process notes while it works, so that it alone says how fast it was."""

import sys
import threading
import time
from array import array
from bisect import bisect_left
from pathlib import Path

import msgspec


class Tally:
    """Notes when handlers ran; appending to an array is atomic, so threads need no lock."""

    def __init__(self, *, awaits_settlements: bool) -> None:
        self._awaits_settlements = awaits_settlements
        self._began = array("d")
        self._ended = array("d")
        self._waits = array("d")
        self._settled_at = array("d")
        self._settled = array("q")
        self._goal = sys.maxsize
        self._reached = threading.Event()
        self._cpu = time.process_time()

    def handled(self, due: float) -> None:
        """A handler that does nothing has run, for something due at `due`, by the monotonic clock."""
        now = time.monotonic()
        self._ended.append(now)
        self._waits.append(now - due)
        if len(self._ended) >= self._goal:
            self._look()

    def began(self) -> None:
        """A handler that takes its time has begun."""
        self._began.append(time.monotonic())

    def ended(self) -> None:
        """A handler that takes its time has ended."""
        self._ended.append(time.monotonic())
        self._look()

    def settled(self, count: int) -> None:
        """So many outcomes more are durable; called by one thread."""
        total = count + self._settled_count
        self._settled_at.append(time.monotonic())
        self._settled.append(total)
        self._look()

    def until(self, count: int, seconds: float) -> "Report":
        """What happened from the start until `count` were handled and settled; raises `TimeoutError`."""
        self._goal = count
        give_up_at = time.monotonic() + seconds
        while not self._is_reached():
            if time.monotonic() > give_up_at:
                raise TimeoutError(
                    f"after {seconds:g} s {len(self._ended)} of {count} were handled and "
                    f"{self._settled_count} settled"
                )
            # What is reached between the question above and here shows at the next one, soon enough to
            # be no matter: the moments that count were noted when they happened.
            self._reached.clear()
            self._reached.wait(0.02)
        cpu = time.process_time() - self._cpu
        self._goal = sys.maxsize
        ended = sorted(self._ended)[:count]
        settled_at = self._settled_at[bisect_left(self._settled, count)] if self._awaits_settlements else None
        status = read_status()
        return Report(
            handled=len(self._ended),
            first=min(ended[0], min(self._began, default=ended[0])),
            last=ended[-1],
            settled=settled_at or ended[-1],
            cpu=cpu,
            rss_kib=status.get("VmRSS", 0),
            threads=status.get("Threads", threading.active_count()),
            waits=self._waits.tolist(),
        )

    @property
    def _settled_count(self) -> int:
        return self._settled[-1] if self._settled else 0

    def _is_reached(self) -> bool:
        settled = self._settled_count if self._awaits_settlements else self._goal
        return len(self._ended) >= self._goal and settled >= self._goal

    def _look(self) -> None:
        if self._is_reached():
            self._reached.set()


class Report(msgspec.Struct, frozen=True):
    """What a worker process says of itself; moments are of the monotonic clock, in seconds."""

    handled: int
    """Up to now; may be more than was asked for."""
    first: float
    """When the first handler ran."""
    last: float
    """When the last of those asked for ended."""
    settled: float
    """When the last of those asked for was durable; `last` where that is not known."""
    cpu: float
    """Processor seconds of the process since the worker was made."""
    rss_kib: int
    """Resident memory; 0 where the system does not tell."""
    threads: int
    waits: list[float]
    """Seconds from being due to the start of the handler, of all no-ops up to now."""

    def per_second(self, count: int) -> float:
        """The rate from the first handler until all `count` are durable."""
        return (count - 1) / (self.settled - self.first)


def read_status() -> dict[str, int]:
    """The numbers of this process's /proc status; none where there is no such file."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    words = (line.split() for line in status.read_text().splitlines())
    return {word[0].rstrip(":"): int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}
